use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use postgres_protocol::message::backend::{Header, Message};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};
use tokio_postgres::tls::{self, TlsConnect, TlsStream};

use super::allowance::Allowance;
use super::authentication::{Channel, ChannelBindingMode, Login};
use super::{Address, Socket};
use crate::source::SourceError;

/// The most of the server's first answer that is looked at; a request for a password is shorter.
const REQUEST_BYTES_MAX: usize = 4096;

/// A socket for the SQL driver. The driver would send a password in clear to whoever asks for it, and take
/// as much as a server sends; this looks at what comes before the driver does.
#[derive(Debug)]
pub(crate) struct Guarded {
    socket: Socket,
    login: Login,
    allowance: Allowance,
    /// What has arrived, until the server has asked.
    awaited: Option<BytesMut>,
}

impl Guarded {
    /// Looks at what has arrived: at all of it, and closely until the server's first answer is complete.
    fn look_at(&mut self, arrived: &[u8]) -> Result<(), SourceError> {
        self.allowance.take(arrived)?;
        let Some(seen) = &mut self.awaited else {
            return Ok(());
        };
        seen.extend_from_slice(arrived);
        let io_error = |source| SourceError::Io {
            doing: "authenticating with PostgreSQL",
            source,
        };
        let Some(header) = Header::parse(seen).map_err(io_error)? else {
            return Ok(());
        };
        // Anything else, such as an error, is for the driver to tell.
        if header.tag() != b'R' {
            self.awaited = None;
            return Ok(());
        }
        if let Some(request) = Message::parse(seen).map_err(io_error)? {
            self.login.permit(&request)?;
            self.awaited = None;
        } else if seen.len() > REQUEST_BYTES_MAX {
            return Err(SourceError::Nonsense(
                "the server's request for a password has no end".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Hands the driver the socket that we have made, as if it had made it itself.
#[derive(Debug)]
pub(crate) struct Guard {
    login: Login,
}

impl Address {
    /// What the SQL driver needs to log in through a socket of ours.
    pub(crate) fn for_driver(&self, login: Login, application_name: &str) -> (Config, Guard) {
        let credentials = &login.credentials;
        let mut config = Config::new();
        config
            .user(self.user())
            .dbname(self.database())
            .application_name(application_name)
            // The guard takes the place of the driver's own TLS.
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct)
            .channel_binding(match credentials.channel_binding {
                ChannelBindingMode::Disable => ChannelBinding::Disable,
                ChannelBindingMode::Prefer => ChannelBinding::Prefer,
                ChannelBindingMode::Require => ChannelBinding::Require,
            });
        if !self.options().is_empty() {
            config.options(self.options());
        }
        if let Some(password) = &credentials.password {
            config.password(password);
        }
        (config, Guard { login })
    }
}

impl TlsConnect<Socket> for Guard {
    type Stream = Guarded;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Guarded, Self::Error>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(Guarded {
            socket,
            login: self.login,
            allowance: Allowance::default(),
            awaited: Some(BytesMut::new()),
        }))
    }
}

impl TlsStream for Guarded {
    fn channel_binding(&self) -> tls::ChannelBinding {
        match &self.login.channel {
            Channel::Encrypted {
                end_point: Some(end_point),
            } => tls::ChannelBinding::tls_server_end_point(end_point.clone()),
            _ => tls::ChannelBinding::none(),
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(context, buffer);
        if !matches!(read, Poll::Ready(Ok(()))) {
            return read;
        }
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        match this.look_at(arrived) {
            Ok(()) => read,
            Err(error) => {
                buffer.set_filled(before);
                Poll::Ready(Err(io::Error::other(error)))
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
