use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslMode, TargetSessionAttrs};

use super::Socket;
use super::ssl_mode::without_ssl_mode;
use crate::source::SourceError;

/// The longest one address may take to accept a connection, and a server to let us in, unless
/// `connect_timeout` says otherwise.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long what we sent may stay unacknowledged, unless `tcp_user_timeout` says otherwise. Every
/// second we send a status, so this is how soon a severed network is noticed.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// PostgreSQL's own port.
const PORT: u16 = 5432;

/// Where PostgreSQL is and who we are there, as a libpq URL or keyword string says.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    config: Config,
    password_file: Option<PathBuf>,
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
    /// A proof was asked for that only encryption gives.
    #[error("channel_binding=require needs TLS, which this release does not speak yet")]
    ChannelBindingUnavailable,
}

impl Address {
    /// Reads a libpq URL or keyword string.
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let (url, sslmode) = without_ssl_mode(url);
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
        if config.get_channel_binding() == ChannelBinding::Require {
            return Err(AddressError::ChannelBindingUnavailable);
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError::Missing("host"));
        }
        if config.get_user().is_none() {
            return Err(AddressError::Missing("user"));
        }
        if config.get_dbname().is_none() {
            return Err(AddressError::Missing("database"));
        }
        if config.get_hosts().len().max(config.get_hostaddrs().len()) > 1 {
            // Of several hosts the primary is meant, for SQL as for replication.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(Self {
            config,
            password_file: None,
        })
    }

    /// Replaces the password by the content of a file, which is read anew for each connection: a
    /// secret that is rotated needs no restart.
    pub(crate) fn set_password_file(&mut self, file: PathBuf) {
        self.password_file = Some(file);
    }

    /// For a connection that runs SQL.
    pub(crate) fn config(&self) -> Config {
        let mut config = self.config.clone();
        if let Some(password) = self.password() {
            config.password(password);
        }
        config
    }

    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    pub(crate) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// The password as it is at present.
    pub(crate) fn password(&self) -> Option<Vec<u8>> {
        let Some(file) = &self.password_file else {
            return self.config.get_password().map(<[u8]>::to_vec);
        };
        match std::fs::read_to_string(file) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec()),
            Err(error) => {
                // The server's refusal is what the relay acts upon.
                tracing::warn!(file = %file.display(), %error, "the password file cannot be read");
                None
            }
        }
    }

    /// Settings for the session, as `options` of the URL gives them.
    pub(crate) fn options(&self) -> &str {
        self.config.get_options().unwrap_or_default()
    }

    /// The hosts to try, in their order.
    pub(crate) fn hosts(&self) -> Vec<HostAddress> {
        let ports = self.config.get_ports();
        let addresses = self.config.get_hostaddrs();
        let names = self.config.get_hosts();
        (0..names.len().max(addresses.len()))
            .filter_map(|number| {
                // A numeric address spares the look-up of the name beside it.
                let host = match (addresses.get(number), names.get(number)) {
                    (Some(address), _) => Host::Tcp(address.to_string()),
                    (None, Some(name)) => name.clone(),
                    (None, None) => return None,
                };
                let port = ports.get(number).or_else(|| ports.first());
                Some(HostAddress {
                    host,
                    port: port.copied().unwrap_or(PORT),
                })
            })
            .collect()
    }

    /// Connects to one of the hosts: each address that its name stands for within
    /// [`Address::answer_max`].
    pub(crate) async fn connect_to(&self, host: &HostAddress) -> Result<Socket, SourceError> {
        let unanswered = self.config.get_tcp_user_timeout().copied();
        let unanswered = unanswered.unwrap_or(UNACKNOWLEDGED_MAX);
        Socket::connect(&host.host, host.port, self.answer_max(), unanswered)
            .await
            .map_err(|source| SourceError::Io {
                doing: "connecting to PostgreSQL",
                source,
            })
    }

    /// The longest an address may take to accept a connection, and a server to let us in.
    pub(crate) fn answer_max(&self) -> Duration {
        let configured = self.config.get_connect_timeout().copied();
        configured.unwrap_or(CONNECT_MAX)
    }
}

/// One of an address's hosts.
#[derive(Clone, Debug)]
pub(crate) struct HostAddress {
    host: Host,
    port: u16,
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
        for (url, mode) in [
            ("postgres://u@h/db?sslmode=verify-full", "verify-full"),
            ("host=h user=u dbname=d sslmode = 'verify-ca'", "verify-ca"),
            ("sslmode=require host=h user=u dbname=d", "require"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            let said = format!("sslmode={mode} asks for TLS");
            assert!(error.starts_with(&said), "{url}: {error}");
        }
        let bound = Address::parse("postgres://u@h/db?channel_binding=require");
        assert!(matches!(
            bound,
            Err(AddressError::ChannelBindingUnavailable)
        ));
    }

    #[test]
    fn hosts_are_tried_in_their_order_with_their_ports() {
        let hosts = |url: &str| -> Vec<_> {
            let address = Address::parse(url).unwrap();
            let hosts = address.hosts().into_iter();
            hosts
                .map(|at| (format!("{:?}", at.host), at.port))
                .collect()
        };
        assert_eq!(
            hosts("postgres://u@a:1,b:2/d"),
            [(r#"Tcp("a")"#.to_owned(), 1), (r#"Tcp("b")"#.to_owned(), 2)]
        );
        assert_eq!(
            hosts("hostaddr=127.0.0.1 user=u dbname=d"),
            [(r#"Tcp("127.0.0.1")"#.to_owned(), PORT)]
        );
        assert_eq!(
            hosts("host=/run/pg port=7 user=u dbname=d"),
            [(r#"Unix("/run/pg")"#.to_owned(), 7)]
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
