use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;
use super::settings::{Certificate, Roots, TlsSettings};

/// Certificates whose owners we believe.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) roots: RootCertStore,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Our certificate with those that lead to its authority, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The largest file that is read: a bundle of all the world's authorities has a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

fn bad(file: &Path, why: impl ToString) -> TlsError {
    TlsError::File {
        file: file.to_owned(),
        why: why.to_string(),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let length = std::fs::metadata(file).map_err(|error| bad(file, error))?;
    if length.len() > FILE_BYTES_MAX {
        return Err(bad(
            file,
            format!("it has more than {FILE_BYTES_MAX} bytes"),
        ));
    }
    std::fs::read(file).map_err(|error| bad(file, error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| bad(file, error))?;
    if found.is_empty() {
        return Err(bad(file, "there is no certificate in it (PEM is expected)"));
    }
    Ok(found)
}

/// Whom to trust; none where nothing says so, and `sslmode` does not need it.
pub(super) fn trusted(settings: &TlsSettings) -> Result<Option<Trusted>, TlsError> {
    match &settings.roots {
        Roots::System => system().map(Some),
        Roots::File(file) => from_file(file).map(Some),
        Roots::Usual(Some(file)) if file.exists() => from_file(file).map(Some),
        Roots::Usual(place) if settings.mode.demands_proof() => Err(TlsError::RootsMissing {
            mode: settings.mode,
            place: place
                .clone()
                .unwrap_or_else(|| PathBuf::from("~/.postgresql/root.crt")),
        }),
        Roots::Usual(_) => Ok(None),
    }
}

fn from_file(file: &Path) -> Result<Trusted, TlsError> {
    let certificates = certificates(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let added = roots.add(certificate.clone());
        added.map_err(|error| bad(file, error))?;
    }
    Ok(Trusted {
        roots,
        certificates,
    })
}

fn system() -> Result<Trusted, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(ToString::to_string);
        return Err(TlsError::SystemRoots(
            why.unwrap_or_else(|| "the system trusts no certificate".to_owned()),
        ));
    }
    Ok(Trusted {
        roots,
        certificates: Vec::new(),
    })
}

/// Who we are; none where there is no certificate.
pub(super) fn identity(settings: &TlsSettings) -> Result<Option<Identity>, TlsError> {
    let certificate = match &settings.certificate {
        Certificate::File(file) => file,
        Certificate::Usual(Some(file)) if file.exists() => file,
        Certificate::Usual(_) => return Ok(None),
    };
    let chain = certificates(certificate)?;
    let key = settings.key.as_deref();
    let key = key.ok_or_else(|| bad(certificate, "there is no key to it: set sslkey"))?;
    check_rights(key)?;
    let text = read(key)?;
    let read = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(&text) => bad(
            key,
            "it is encrypted, which is not supported: decrypt it and protect the file",
        ),
        pem::Error::NoItemsFound => bad(key, "there is no key in it (PEM is expected)"),
        // The text of any other error could show a part of the key.
        _ => bad(key, "it is not PEM"),
    })?;
    Ok(Some((chain, read)))
}

fn is_encrypted(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).contains("ENCRYPTED")
}

/// As libpq: nobody else may read it, but a group may where root owns it.
fn check_rights(key: &Path) -> Result<(), TlsError> {
    let about = std::fs::metadata(key).map_err(|error: io::Error| bad(key, error))?;
    let forbidden = if about.uid() == 0 { 0o037 } else { 0o077 };
    if about.is_file() && about.mode() & forbidden != 0 {
        return Err(bad(
            key,
            "others may read it: chmod 0600, or 0640 where root owns it",
        ));
    }
    Ok(())
}
