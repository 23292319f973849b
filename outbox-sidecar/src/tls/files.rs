use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub(crate) struct FileError {
    /// The file.
    file: PathBuf,
    /// What is wrong, and what to do.
    why: String,
}

/// Certificates whose owners we believe.
#[derive(Debug)]
pub(crate) struct Authorities {
    pub(super) roots: RootCertStore,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Our certificate with those that lead to its authority, and its key.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The largest file that is read: a bundle of all the world's authorities has a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl FileError {
    pub(crate) fn new(file: &Path, why: impl ToString) -> Self {
        Self {
            file: file.to_owned(),
            why: why.to_string(),
        }
    }
}

fn bad(file: &Path, why: impl ToString) -> FileError {
    FileError::new(file, why)
}

fn read(file: &Path) -> Result<Vec<u8>, FileError> {
    let length = std::fs::metadata(file).map_err(|error| bad(file, error))?;
    if length.len() > FILE_BYTES_MAX {
        return Err(bad(
            file,
            format!("it has more than {FILE_BYTES_MAX} bytes"),
        ));
    }
    std::fs::read(file).map_err(|error| bad(file, error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = read(file)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| bad(file, error))?;
    if found.is_empty() {
        return Err(bad(file, "there is no certificate in it (PEM is expected)"));
    }
    Ok(found)
}

/// The authorities of a file.
pub(crate) fn authorities(file: &Path) -> Result<Authorities, FileError> {
    let certificates = certificates(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let added = roots.add(certificate.clone());
        added.map_err(|error| bad(file, error))?;
    }
    Ok(Authorities {
        roots,
        certificates,
    })
}

/// The authorities of the operating system, or why there are none.
pub(crate) fn system() -> Result<Authorities, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(ToString::to_string);
        return Err(why.unwrap_or_else(|| "the system trusts no certificate".to_owned()));
    }
    Ok(Authorities {
        roots,
        certificates: Vec::new(),
    })
}

/// Who we are.
pub(crate) fn identity(certificate: &Path, key: &Path) -> Result<Identity, FileError> {
    let chain = certificates(certificate)?;
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
    Ok((chain, read))
}

fn is_encrypted(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).contains("ENCRYPTED")
}

/// As libpq: nobody else may read it, but a group may where root owns it.
fn check_rights(key: &Path) -> Result<(), FileError> {
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
