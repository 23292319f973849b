use outbox_core::relay::SourceFailure;
use tokio::time::timeout;

use super::host::Place;
use super::socket::{Socket, reach};
use super::ssl_mode::{SslMode, Way};
use super::tls::{Encrypted, TlsError, encrypt};
use super::{Address, HostAddress};
use crate::source::SourceError;

/// A failure to which that of a second attempt can be added.
pub(crate) trait Failure: From<SourceError> {
    /// Both ways have failed.
    fn both(first: (&'static str, Self), second: (&'static str, Self)) -> Self;

    /// What it says.
    fn text(&self) -> String;
}

impl Failure for SourceError {
    fn both(first: (&'static str, Self), second: (&'static str, Self)) -> Self {
        Self::BothWays {
            first: first.0,
            first_error: Box::new(first.1),
            second: second.0,
            second_error: Box::new(second.1),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Failure for SourceFailure {
    fn both(first: (&'static str, Self), second: (&'static str, Self)) -> Self {
        Self {
            kind: second.1.kind,
            message: both_messages((first.0, &first.1.message), (second.0, &second.1.message)),
        }
    }

    fn text(&self) -> String {
        self.message.clone()
    }
}

/// One message of two; of the same twice, once.
pub(crate) fn both_messages(first: (&str, &str), second: (&str, &str)) -> String {
    if first.1 == second.1 {
        return second.1.to_owned();
    }
    format!("{}: {}; {}: {}", first.0, first.1, second.0, second.1)
}

/// How an attempt has ended that did not even reach the server's authentication.
enum Unmade {
    /// Another way may do.
    Way(SourceError),
    /// Or will not.
    Host(SourceError),
    /// The server does not have this way: what it said about the other one stands.
    Absent(SourceError),
}

impl Address {
    /// Connects to one of the hosts and enters, in each way that `sslmode` allows, until one is
    /// let in: a server may refuse by `pg_hba.conf` what comes with TLS, or without.
    pub(crate) async fn enter<T, E, F>(
        &self,
        host: &HostAddress,
        enter: impl Fn(Socket) -> F,
    ) -> Result<T, E>
    where
        E: Failure,
        F: Future<Output = Result<T, E>>,
    {
        if let Place::Socket(directory) = &host.place {
            let connecting = Socket::unix(directory, host.port);
            let socket = connecting
                .await
                .map_err(|source| host.unreachable(source))?;
            return enter(socket).await;
        }
        let mut failure: Option<(&'static str, E)> = None;
        for way in self.tls.mode.ways() {
            let (used, error) = match self.socket(host, *way).await {
                Ok((used, socket)) => match enter(socket).await {
                    Ok(entered) => {
                        if let Some((first, error)) = failure {
                            let (host, why, used) = (&host.name, error.text(), used.as_str());
                            tracing::info!(host, why, "not connected {first}, but {used}");
                        }
                        return Ok(entered);
                    }
                    Err(error) => (used, error),
                },
                Err(Unmade::Way(error)) => (*way, error.into()),
                Err(Unmade::Host(error)) => return Err(error.into()),
                Err(Unmade::Absent(error)) => {
                    return Err(failure.map_or_else(|| error.into(), |(_, failure)| failure));
                }
            };
            // A server without TLS has refused us already as it would without asking for it.
            let is_last = used != *way;
            failure = Some(match failure.take() {
                None => (used.as_str(), error),
                Some(first) => (used.as_str(), E::both(first, (used.as_str(), error))),
            });
            if is_last {
                break;
            }
        }
        match failure {
            Some((_, error)) => Err(error),
            None => Err(SourceError::no_host().into()),
        }
    }

    /// A socket to a host on the network, and the way that it has become.
    async fn socket(&self, host: &HostAddress, way: Way) -> Result<(Way, Socket), Unmade> {
        let Place::Network(name) = &host.place else {
            return Err(Unmade::Host(SourceError::no_host()));
        };
        let reaching = reach(name, host.port, self.answer_max(), self.liveness);
        let tcp = reaching
            .await
            .map_err(|source| Unmade::Host(host.unreachable(source)))?;
        if way == Way::Plain {
            return Ok((way, Socket::Tcp(tcp)));
        }
        let encrypting = timeout(self.answer_max(), encrypt(tcp, host, &self.tls));
        let encrypted = encrypting.await.map_err(|_| {
            Unmade::Host(SourceError::TimedOut {
                doing: "starting TLS with PostgreSQL",
                limit_s: self.answer_max().as_secs(),
            })
        })?;
        let mode = self.tls.mode;
        match encrypted {
            Ok(Encrypted::Yes(socket)) => Ok((Way::Tls, Socket::Tls(socket))),
            Ok(Encrypted::No(tcp)) if mode == SslMode::Prefer => Ok((Way::Plain, Socket::Tcp(tcp))),
            Ok(Encrypted::No(_)) => Err(Unmade::Absent(TlsError::NotOffered(mode).into())),
            Err(error) if error.leaves_another_way() => Err(Unmade::Way(error.into())),
            Err(error) => Err(Unmade::Host(error.into())),
        }
    }
}
