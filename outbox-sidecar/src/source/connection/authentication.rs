use std::io;

use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Wire;
use crate::source::SourceError;

const DOING: &str = "authenticating with PostgreSQL";

/// Proves who we are, in the way the server asks for.
pub(super) async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    user: &str,
    password: Option<&[u8]>,
    is_unix_socket: bool,
) -> Result<(), SourceError> {
    loop {
        match wire.next(DOING).await? {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationMd5Password(body) => {
                let password = password.ok_or(SourceError::PasswordMissing)?;
                let hash = md5_hash(user.as_bytes(), password, body.salt());
                send_password(wire, hash.as_bytes()).await?;
            }
            Message::AuthenticationCleartextPassword if is_unix_socket => {
                let password = password.ok_or(SourceError::PasswordMissing)?;
                send_password(wire, password).await?;
            }
            Message::AuthenticationCleartextPassword => {
                return Err(SourceError::AuthenticationUnsupported(
                    "cleartext password without encryption",
                ));
            }
            Message::AuthenticationSasl(body) => {
                let password = password.ok_or(SourceError::PasswordMissing)?;
                scram(wire, &body, password).await?;
            }
            Message::AuthenticationGss | Message::AuthenticationSspi => {
                return Err(SourceError::AuthenticationUnsupported("GSSAPI"));
            }
            _ => return Err(SourceError::AuthenticationUnsupported("an unknown kind of")),
        }
    }
}

async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    offered: &AuthenticationSaslBody,
    password: &[u8],
) -> Result<(), SourceError> {
    let mut mechanisms = offered.mechanisms();
    let mut known = false;
    while let Some(mechanism) = mechanisms.next().map_err(io_error)? {
        known |= mechanism == SCRAM_SHA_256;
    }
    if !known {
        return Err(SourceError::AuthenticationUnsupported(
            "a SASL mechanism other than SCRAM",
        ));
    }
    let mut exchange = ScramSha256::new(password, ChannelBinding::unsupported());
    frontend::sasl_initial_response(SCRAM_SHA_256, exchange.message(), &mut wire.output)
        .map_err(io_error)?;
    wire.flush().await.map_err(io_error)?;
    match wire.next(DOING).await? {
        Message::AuthenticationSaslContinue(body) => {
            exchange
                .update(body.data())
                .map_err(SourceError::Authentication)?;
        }
        _ => return Err(unexpected()),
    }
    frontend::sasl_response(exchange.message(), &mut wire.output).map_err(io_error)?;
    wire.flush().await.map_err(io_error)?;
    match wire.next(DOING).await? {
        // The server proves that it knows the password too.
        Message::AuthenticationSaslFinal(body) => exchange
            .finish(body.data())
            .map_err(SourceError::Authentication),
        _ => Err(unexpected()),
    }
}

async fn send_password<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    password: &[u8],
) -> Result<(), SourceError> {
    frontend::password_message(password, &mut wire.output).map_err(io_error)?;
    wire.flush().await.map_err(io_error)
}

fn io_error(source: io::Error) -> SourceError {
    SourceError::Io {
        doing: DOING,
        source,
    }
}

fn unexpected() -> SourceError {
    SourceError::Protocol("the server broke off the SCRAM exchange".to_owned())
}
