use std::path::PathBuf;

use super::TlsError;
use super::settings::{Certificate, Roots, TlsSettings};
use crate::tls::{self, Authorities, FileError, Identity};

/// Whom to trust; none where nothing says so, and `sslmode` does not need it.
pub(super) fn trusted(settings: &TlsSettings) -> Result<Option<Authorities>, TlsError> {
    match &settings.roots {
        Roots::System => tls::system().map(Some).map_err(TlsError::SystemRoots),
        Roots::File(file) => Ok(Some(tls::authorities(file)?)),
        Roots::Usual(Some(file)) if file.exists() => Ok(Some(tls::authorities(file)?)),
        Roots::Usual(place) if settings.mode.demands_proof() => Err(TlsError::RootsMissing {
            mode: settings.mode,
            place: place
                .clone()
                .unwrap_or_else(|| PathBuf::from("~/.postgresql/root.crt")),
        }),
        Roots::Usual(_) => Ok(None),
    }
}

/// Who we are; none where there is no certificate.
pub(super) fn identity(settings: &TlsSettings) -> Result<Option<Identity>, TlsError> {
    let certificate = match &settings.certificate {
        Certificate::File(file) => file,
        Certificate::Usual(Some(file)) if file.exists() => file,
        Certificate::Usual(_) => return Ok(None),
    };
    let Some(key) = settings.key.as_deref() else {
        let why = "there is no key to it: set sslkey";
        return Err(FileError::new(certificate, why).into());
    };
    Ok(Some(tls::identity(certificate, key)?))
}
