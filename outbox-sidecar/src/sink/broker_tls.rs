//! TLS to RabbitMQ, by the parameters of its URLs that its own clients know
//! (<https://www.rabbitmq.com/docs/uri-query-parameters>), for AMQP and for streams.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, Error, OtherError};
use url::Url;

use crate::tls::{self, FileError, Objection, Proof};

const CA: &str = "cacertfile";
const CERTIFICATE: &str = "certfile";
const KEY: &str = "keyfile";
const VERIFY: &str = "verify";
const MECHANISM: &str = "auth_mechanism";

/// What an address says of TLS and of how to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BrokerTls {
    /// Whose certificates are believed; those of the operating system where it names none.
    authorities: Option<PathBuf>,
    /// Our certificate and its key.
    identity: Option<(PathBuf, PathBuf)>,
    /// Whether our certificate says who we are, and no password does.
    pub(super) is_external: bool,
}

/// Why TLS cannot begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerTlsError {
    /// A file that cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// No authorities on this machine.
    #[error("the operating system's certificates: {0}; name a file in cacertfile")]
    System(String),
    /// A certificate and a key that do not go together.
    #[error("certfile and keyfile cannot be used: {0}")]
    Identity(Error),
    /// What rustls does not do.
    #[error("TLS: {0}")]
    Other(String),
}

impl BrokerTls {
    /// Reads an address's parameters; `others` may stand beside ours.
    pub(super) fn read(url: &Url, is_encrypted: bool, others: &[&str]) -> Result<Self, String> {
        let (mut authorities, mut certificate, mut key) = (None, None, None);
        let mut is_external = false;
        for (name, value) in url.query_pairs() {
            let name = name.as_ref();
            if [CA, CERTIFICATE, KEY, VERIFY].contains(&name) && !is_encrypted {
                return Err(format!("{name} is for addresses with TLS only"));
            }
            let path = || Some(PathBuf::from(value.as_ref()));
            match name {
                CA => authorities = path(),
                CERTIFICATE => certificate = path(),
                KEY => key = path(),
                VERIFY if value == "verify_peer" => {}
                VERIFY => {
                    return Err(format!(
                        "{VERIFY}: the broker's certificate is always checked; name its authority \
                         in {CA}, and leave {VERIFY} out"
                    ));
                }
                MECHANISM => match value.to_ascii_lowercase().as_str() {
                    "plain" => is_external = false,
                    "external" => is_external = true,
                    _ => return Err(format!("{MECHANISM}: expected plain or external")),
                },
                _ if others.contains(&name) => {}
                _ => {
                    return Err(format!(
                        "it takes {CA}, {CERTIFICATE}, {KEY}, {VERIFY}=verify_peer and \
                         {MECHANISM}, and no other parameters"
                    ));
                }
            }
        }
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(format!("{CERTIFICATE} and {KEY} need each other")),
        };
        if is_external && identity.is_none() {
            return Err(format!(
                "{MECHANISM}=external needs {CERTIFICATE} and {KEY}"
            ));
        }
        Ok(Self {
            authorities,
            identity,
            is_external,
        })
    }

    /// How to speak TLS with this host, by the files as they are at present: what is rotated needs
    /// no restart.
    pub(super) async fn config(&self, host: &str) -> Result<Arc<ClientConfig>, BrokerTlsError> {
        let (this, host) = (self.clone(), host.to_owned());
        tokio::task::spawn_blocking(move || this.read_files(host))
            .await
            .map_err(|error| BrokerTlsError::Other(error.to_string()))?
    }

    fn read_files(&self, host: String) -> Result<Arc<ClientConfig>, BrokerTlsError> {
        let provider = ring::default_provider();
        let trusted = match &self.authorities {
            Some(file) => tls::authorities(file)?,
            None => tls::system().map_err(BrokerTlsError::System)?,
        };
        let proof = Proof {
            trusted: Some(trusted),
            name: Some(host),
            algorithms: provider.signature_verification_algorithms,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| BrokerTlsError::Other(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(proof));
        let config = match &self.identity {
            Some((certificate, key)) => {
                let (chain, key) = tls::identity(certificate, key)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(BrokerTlsError::Identity)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    /// What a broken connection was refused for, and what to do; none where TLS is not the cause.
    pub(super) fn refusal(&self, error: &io::Error, host: &str) -> Option<String> {
        match error.get_ref()?.downcast_ref::<Error>()? {
            Error::InvalidCertificate(error) => Some(format!(
                "its certificate is not accepted: {}",
                unproven(error, host)
            )),
            Error::AlertReceived(alert) => self.alert(*alert),
            _ => None,
        }
    }

    fn alert(&self, alert: AlertDescription) -> Option<String> {
        use AlertDescription as Alert;
        let has_identity = self.identity.is_some();
        let words = match alert {
            Alert::CertificateRequired => {
                "it wants a certificate of ours: set certfile and keyfile"
            }
            // What TLS 1.2 says for it.
            Alert::HandshakeFailure if !has_identity => {
                "it may want a certificate of ours: set certfile and keyfile"
            }
            Alert::CertificateExpired | Alert::CertificateRevoked => {
                "renew our certificate, certfile"
            }
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::AccessDenied => {
                "it does not accept our certificate, certfile: an authority in its \
                 ssl_options.cacertfile must have signed it"
            }
            _ => return None,
        };
        Some(format!("{words} ({alert:?})"))
    }
}

fn unproven(error: &CertificateError, host: &str) -> String {
    if let CertificateError::Other(OtherError(other)) = error
        && let Some(objection) = other.downcast_ref::<Objection>()
    {
        return match objection {
            Objection::OtherNames(_) => format!(
                "{objection}, and not for {host}: name the broker by a name that it has, or make \
                 it anew with that name in subjectAltName"
            ),
            Objection::Version1 => format!("{objection}: make it anew with subjectAltName"),
        };
    }
    match error {
        CertificateError::UnknownIssuer => "no authority in cacertfile (without it: of the \
             operating system) has signed it: put its authority's certificate there"
            .to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired: renew it on the broker, and look at the clock here".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet: look at the clock here and there".to_owned()
        }
        error => error.to_string(),
    }
}

/// The first line of the file that holds an address, as it is now.
pub(super) fn read_address(file: &std::path::Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests;
