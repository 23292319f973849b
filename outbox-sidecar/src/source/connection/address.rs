use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::source::SourceError;

/// The longest one host may take to accept a connection, unless `connect_timeout` says otherwise.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// After how long without traffic the kernel asks a peer whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// Where PostgreSQL is and who we are there, as a libpq URL or keyword string says.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    config: Config,
}

/// A URL that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    /// Not a libpq URL or keyword string.
    #[error("not a PostgreSQL URL or keyword string such as postgres://user@host/database: {1}")]
    Malformed(#[source] tokio_postgres::Error, String),
    /// Something needed is missing.
    #[error("the PostgreSQL URL names no {0}")]
    Missing(&'static str),
    /// Encryption was asked for.
    #[error(
        "sslmode={0} asks for TLS, which this release does not speak yet: use sslmode=disable or \
         prefer on a network you trust, or a unix socket"
    )]
    TlsUnavailable(String),
}

impl Address {
    /// Reads a libpq URL or keyword string.
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let (url, sslmode) = without_sslmode(url);
        if let Some(mode) = sslmode
            && !matches!(mode.as_str(), "disable" | "allow" | "prefer")
        {
            return Err(AddressError::TlsUnavailable(mode));
        }
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let reason = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            AddressError::Malformed(error, reason)
        })?;
        config.ssl_mode(SslMode::Disable);
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError::Missing("host"));
        }
        if config.get_user().is_none() {
            return Err(AddressError::Missing("user"));
        }
        if config.get_dbname().is_none() {
            return Err(AddressError::Missing("database"));
        }
        Ok(Self { config })
    }

    /// Replaces the password, as a password file does.
    pub(crate) fn set_password(&mut self, password: &str) {
        self.config.password(password);
    }

    /// For connections that run SQL.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    pub(crate) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    pub(crate) fn password(&self) -> Option<&[u8]> {
        self.config.get_password()
    }

    /// Connects to the first host that answers.
    pub(crate) async fn connect(&self) -> Result<Socket, SourceError> {
        let limit = self
            .config
            .get_connect_timeout()
            .copied()
            .unwrap_or(CONNECT_MAX);
        let doing = "connecting to PostgreSQL";
        let ports = self.config.get_ports();
        let mut failure = None;
        for (number, host) in self.config.get_hosts().iter().enumerate() {
            let port = ports
                .get(number)
                .or_else(|| ports.first())
                .copied()
                .unwrap_or(5432);
            match tokio::time::timeout(limit, Socket::connect(host, port)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(source)) => failure = Some(SourceError::Io { doing, source }),
                Err(_) => {
                    failure = Some(SourceError::TimedOut {
                        doing,
                        limit_s: limit.as_secs(),
                    });
                }
            }
        }
        Err(failure.unwrap_or_else(|| SourceError::Io {
            doing,
            source: io::Error::other("no host is configured"),
        }))
    }
}

/// Takes `sslmode` out of a URL or keyword string: the driver's parser refuses modes that it does
/// not know itself.
fn without_sslmode(url: &str) -> (String, Option<String>) {
    let Some(start) = url.find("sslmode=") else {
        return (url.to_owned(), None);
    };
    let (before, rest) = url.split_at(start);
    let value_and_rest = rest.strip_prefix("sslmode=").unwrap_or(rest);
    let end = value_and_rest
        .find(['&', ' '])
        .unwrap_or(value_and_rest.len());
    let (value, after) = value_and_rest.split_at(end);
    let after = after.strip_prefix('&').unwrap_or(after);
    let joined = format!("{before}{after}");
    let trimmed = joined.trim_end_matches(['?', '&', ' ']);
    (
        trimmed.to_owned(),
        Some(value.trim_matches('\'').to_owned()),
    )
}

/// A socket of either kind.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    async fn connect(host: &Host, port: u16) -> io::Result<Self> {
        match host {
            Host::Tcp(name) if name.starts_with('/') => Self::unix(Path::new(name), port).await,
            Host::Tcp(name) => {
                let stream = TcpStream::connect((name.as_str(), port)).await?;
                stream.set_nodelay(true)?;
                let keepalive = TcpKeepalive::new()
                    .with_time(KEEPALIVE_IDLE)
                    .with_interval(KEEPALIVE_IDLE);
                SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                Ok(Self::Tcp(stream))
            }
            Host::Unix(directory) => Self::unix(directory, port).await,
        }
    }

    async fn unix(directory: &Path, port: u16) -> io::Result<Self> {
        let path: PathBuf = directory.join(format!(".s.PGSQL.{port}"));
        Ok(Self::Unix(UnixStream::connect(path).await?))
    }

    pub(crate) const fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_modes_pass_and_tls_is_refused_by_name() {
        for url in [
            "postgres://u@h:1/db?sslmode=prefer&connect_timeout=3",
            "host=/tmp user=u dbname=d sslmode=disable",
            "postgres://u@h/db?connect_timeout=3&sslmode=allow",
        ] {
            assert!(Address::parse(url).is_ok(), "{url}");
        }
        let error = Address::parse("postgres://u@h/db?sslmode=verify-full").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("sslmode=verify-full asks for TLS"),
            "{error}"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(Address::parse("postgres://u@h").is_err());
        assert!(matches!(
            Address::parse("host=h dbname=d"),
            Err(AddressError::Missing("user"))
        ));
        assert!(matches!(
            Address::parse("not a url"),
            Err(AddressError::Malformed(..))
        ));
    }
}
