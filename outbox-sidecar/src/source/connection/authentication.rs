use std::fmt;
use std::io;

use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Wire;
use crate::source::SourceError;

const DOING: &str = "authenticating with PostgreSQL";

/// libpq's `channel_binding`: whether a login has to be bound to the server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ChannelBindingMode {
    Disable,
    #[default]
    Prefer,
    Require,
}

impl ChannelBindingMode {
    pub(super) const CHOICES: [(&str, Self); 3] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
    ];
}

/// Who we are.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) channel_binding: ChannelBindingMode,
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What protects the way to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Nothing.
    Open,
    /// A unix socket.
    Local,
    /// TLS.
    Encrypted {
        /// What a login can be bound to, if the certificate has that.
        end_point: Option<Vec<u8>>,
    },
}

/// Who we are, and how we have come.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(super) credentials: Credentials,
    pub(super) channel: Channel,
}

impl Login {
    fn password(&self) -> Result<&[u8], SourceError> {
        self.credentials
            .password
            .as_deref()
            .ok_or(SourceError::PasswordMissing)
    }

    /// Whether we do what a server asks for to let us in. A server that is not who it says must not
    /// get a password to read, nor a login without the proof that was required.
    pub(super) fn permit(&self, request: &Message) -> Result<(), SourceError> {
        let unbound = |what| match self.credentials.channel_binding {
            ChannelBindingMode::Require => Err(SourceError::ChannelBindingMissing(what)),
            _ => Ok(()),
        };
        match request {
            Message::AuthenticationOk => unbound("it let us in without a password"),
            Message::AuthenticationMd5Password(_) => {
                unbound("it asks for an md5 password")?;
                self.password().map(drop)
            }
            Message::AuthenticationCleartextPassword => {
                unbound("it asks for a cleartext password")?;
                if self.channel == Channel::Open {
                    return Err(SourceError::AuthenticationUnsupported(
                        "cleartext password without encryption",
                    ));
                }
                self.password().map(drop)
            }
            Message::AuthenticationSasl(offered) => {
                self.password()?;
                self.mechanism(offered).map(drop)
            }
            Message::AuthenticationGss | Message::AuthenticationSspi => {
                Err(SourceError::AuthenticationUnsupported("GSSAPI"))
            }
            _ => Err(SourceError::AuthenticationUnsupported("an unknown kind of")),
        }
    }

    /// The kind of SCRAM, and what it is bound to.
    fn mechanism(
        &self,
        offered: &AuthenticationSaslBody,
    ) -> Result<(&'static str, ChannelBinding), SourceError> {
        let mut mechanisms = offered.mechanisms();
        let mut with_binding = false;
        let mut without = false;
        while let Some(mechanism) = mechanisms.next().map_err(io_error)? {
            with_binding |= mechanism == SCRAM_SHA_256_PLUS;
            without |= mechanism == SCRAM_SHA_256;
        }
        let end_point = match &self.channel {
            Channel::Encrypted { end_point } => end_point.clone(),
            Channel::Open | Channel::Local => None,
        };
        let end_point =
            end_point.filter(|_| self.credentials.channel_binding != ChannelBindingMode::Disable);
        let missing = match (&end_point, &self.channel) {
            (Some(end_point), _) if with_binding => {
                let binding = ChannelBinding::tls_server_end_point(end_point.clone());
                return Ok((SCRAM_SHA_256_PLUS, binding));
            }
            (Some(_), _) => "it does not offer SCRAM-SHA-256-PLUS",
            (None, Channel::Encrypted { .. }) => {
                "its certificate is signed without a hash function that a login could be bound by"
            }
            (None, _) => "the connection has no TLS",
        };
        if self.credentials.channel_binding == ChannelBindingMode::Require {
            return Err(SourceError::ChannelBindingMissing(missing));
        }
        if !without {
            return Err(SourceError::AuthenticationUnsupported(
                "a SASL mechanism other than SCRAM",
            ));
        }
        Ok(match end_point {
            // The server learns that we would have, so nobody in between can have removed it.
            Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
        })
    }
}

/// Proves who we are, in the way the server asks for.
pub(super) async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    login: &Login,
) -> Result<(), SourceError> {
    let request = wire.next(DOING).await?;
    login.permit(&request)?;
    match request {
        Message::AuthenticationOk => return Ok(()),
        Message::AuthenticationMd5Password(body) => {
            let password = login.password()?;
            let hash = md5_hash(login.credentials.user.as_bytes(), password, body.salt());
            send_password(wire, hash.as_bytes()).await?;
        }
        Message::AuthenticationCleartextPassword => {
            send_password(wire, login.password()?).await?;
        }
        Message::AuthenticationSasl(body) => {
            let (mechanism, binding) = login.mechanism(&body)?;
            scram(wire, mechanism, binding, login.password()?).await?;
        }
        _ => return Err(SourceError::AuthenticationUnsupported("an unknown kind of")),
    }
    match wire.next(DOING).await? {
        Message::AuthenticationOk => Ok(()),
        _ => Err(SourceError::Nonsense(
            "the server asks for a second proof of who we are".to_owned(),
        )),
    }
}

async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    mechanism: &str,
    binding: ChannelBinding,
    password: &[u8],
) -> Result<(), SourceError> {
    let mut exchange = ScramSha256::new(password, binding);
    frontend::sasl_initial_response(mechanism, exchange.message(), &mut wire.output)
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
    SourceError::Nonsense("the server broke off the SCRAM exchange".to_owned())
}
