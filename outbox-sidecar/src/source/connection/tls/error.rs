use std::io;
use std::path::PathBuf;

use outbox_core::relay::FailureKind;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};

use crate::source::connection::ssl_mode::SslMode;
use crate::tls::{FileError, Objection};

/// Why a connection could not be encrypted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The server, or somebody in between, said no.
    #[error(
        "the server does not speak TLS, which sslmode={0} demands: set ssl = on there. If it is \
         on, something between the relay and the server removes it"
    )]
    NotOffered(SslMode),
    /// It said neither yes nor no.
    #[error(
        "the server answered the request for TLS with neither yes nor no: is it PostgreSQL, and \
         not out of memory?"
    )]
    Confused,
    /// The connection broke.
    #[error("starting TLS: {0}")]
    Broken(#[source] io::Error),
    /// No TLS at the first byte.
    #[error(
        "the server does not begin with TLS: sslnegotiation=direct needs PostgreSQL 17 or later, \
         with ssl = on; otherwise leave it out"
    )]
    NotDirect,
    /// No certificates to check against.
    #[error(
        "sslmode={mode} needs the certificates that are trusted: {} does not exist. Put the \
         authority's certificate there, set sslrootcert to its file, or sslrootcert=system for \
         those of the operating system", place.display()
    )]
    RootsMissing {
        /// What asks for them.
        mode: SslMode,
        /// Where they would be.
        place: PathBuf,
    },
    /// No authorities on this machine.
    #[error("sslrootcert=system: {0}")]
    SystemRoots(String),
    /// A file that cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A certificate and a key that do not go together.
    #[error("sslcert and sslkey cannot be used: {0}")]
    Identity(String),
    /// `verify-full` without a name.
    #[error("sslmode=verify-full needs a host name to check: set host beside hostaddr")]
    NameMissing,
    /// The server has not proven who it is.
    #[error("the server's certificate is not accepted: {0}")]
    Certificate(String),
    /// It did not like us, or nothing that both can.
    #[error("the server ended TLS ({alert}): {hint}")]
    Refused {
        /// What it said.
        alert: String,
        /// What that means here.
        hint: &'static str,
    },
    /// Anything else that TLS forbids.
    #[error("TLS: {0}")]
    Other(String),
}

impl TlsError {
    /// What an error of the handshake means.
    pub(super) fn of_handshake(error: io::Error, is_direct: bool, host: &str) -> Self {
        let Some(tls) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>())
        else {
            // A server that does not know it closes at the first byte.
            let closed = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
            if is_direct && closed.contains(&error.kind()) {
                return Self::NotDirect;
            }
            return Self::Broken(error);
        };
        match tls {
            Error::InvalidCertificate(error) => Self::Certificate(certificate(error, host)),
            Error::InvalidMessage(InvalidMessage::InvalidContentType) if is_direct => {
                Self::NotDirect
            }
            Error::AlertReceived(alert) => Self::refused(*alert),
            error => Self::Other(error.to_string()),
        }
    }

    fn refused(alert: AlertDescription) -> Self {
        use AlertDescription as Alert;
        let hint = match alert {
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::DecryptError
            | Alert::AccessDenied => {
                "it does not accept our certificate; sslcert must be signed by an authority in \
                 its ssl_ca_file"
            }
            Alert::CertificateExpired | Alert::CertificateRevoked => {
                "renew our certificate, sslcert"
            }
            Alert::CertificateRequired => "it wants a certificate of ours: set sslcert and sslkey",
            Alert::NoApplicationProtocol => "it is not PostgreSQL, or older than 17",
            _ => "it has no version or cipher in common with TLS 1.2 and 1.3",
        };
        Self::Refused {
            alert: format!("{alert:?}"),
            hint,
        }
    }

    /// What an error on an encrypted connection means, if TLS has caused it: that our certificate
    /// is refused comes after the handshake.
    pub(crate) fn of_stream(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<Error>()? {
            Error::AlertReceived(alert) => Some(Self::refused(*alert)),
            error => Some(Self::Other(error.to_string())),
        }
    }

    /// What it means for the relay: a broken connection is tried again, and who is not believed
    /// or not let in is like one with a wrong password.
    pub(crate) const fn kind(&self) -> FailureKind {
        match self {
            Self::Broken(_) | Self::Confused | Self::Other(_) => FailureKind::Unreachable,
            _ => FailureKind::AuthenticationRefused,
        }
    }

    /// Whether the server may take us without TLS: not where our own files are wrong, nor where
    /// it is no PostgreSQL.
    pub(in crate::source::connection) const fn leaves_another_way(&self) -> bool {
        !matches!(
            self,
            Self::Confused
                | Self::RootsMissing { .. }
                | Self::SystemRoots(_)
                | Self::File(_)
                | Self::Identity(_)
                | Self::NameMissing
        )
    }
}

fn certificate(error: &CertificateError, host: &str) -> String {
    if let CertificateError::Other(OtherError(other)) = error
        && let Some(objection) = other.downcast_ref::<Objection>()
    {
        return match objection {
            Objection::OtherNames(_) => format!(
                "{objection}, and not for {host}: connect by a name that it has, or make it anew \
                 with that name in subjectAltName; sslmode=verify-ca does without"
            ),
            Objection::Version1 => format!(
                "{objection}, of which the authority cannot be checked: make it anew with \
                 subjectAltName, which makes it version 3"
            ),
        };
    }
    match error {
        CertificateError::UnknownIssuer => "no authority in sslrootcert (or \
             ~/.postgresql/root.crt) has signed it: put its authority's certificate there"
            .to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired: renew it on the server, and look at the clock here".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet: look at the clock here and there".to_owned()
        }
        error => error.to_string(),
    }
}
