//! Certificates for servers and clients of tests, and authorities that sign them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm,
    date_time_ymd,
};

use crate::error::Error;

/// A certificate and its key.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate as PEM.
    pub pem: String,
    /// Its key as PEM, PKCS#8.
    pub key_pem: String,
    /// The certificate as DER.
    pub der: Vec<u8>,
    /// Its key as DER, PKCS#8.
    pub key_der: Vec<u8>,
}

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate as PEM: what trusts it.
    pub pem: String,
}

impl Authority {
    /// An authority that signs by ECDSA with SHA-256.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> Result<Self, Error> {
        Self::signing_by(name, &PKCS_ECDSA_P256_SHA256)
    }

    /// An authority that signs by ECDSA with SHA-384.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn with_sha384(name: &str) -> Result<Self, Error> {
        Self::signing_by(name, &PKCS_ECDSA_P384_SHA384)
    }

    /// An authority that signs by Ed25519, which has no hash function of its own.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn with_ed25519(name: &str) -> Result<Self, Error> {
        Self::signing_by(name, &PKCS_ED25519)
    }

    fn signing_by(name: &str, algorithm: &'static SignatureAlgorithm) -> Result<Self, Error> {
        let key = KeyPair::generate_for(algorithm).map_err(failed())?;
        let mut about = named(name, &[])?;
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = about.self_signed(&key).map_err(failed())?;
        Ok(Self {
            pem: pem("CERTIFICATE", signed.der()),
            issuer: Issuer::new(about, key),
        })
    }

    /// For a server with these names or addresses.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn server(&self, names: &[&str]) -> Result<Certificate, Error> {
        let mut about = named("a server", names)?;
        about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&about)
    }

    /// For a server whose only name is its common name.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn server_by_common_name(&self, name: &str) -> Result<Certificate, Error> {
        self.sign(&named(name, &[])?)
    }

    /// For a server with these names, but expired years ago.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn expired(&self, names: &[&str]) -> Result<Certificate, Error> {
        let mut about = named("a server", names)?;
        about.not_before = date_time_ymd(2020, 1, 1);
        about.not_after = date_time_ymd(2021, 1, 1);
        self.sign(&about)
    }

    /// For a client who is `user`.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn client(&self, user: &str) -> Result<Certificate, Error> {
        let mut about = named(user, &[])?;
        about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&about)
    }

    fn sign(&self, about: &CertificateParams) -> Result<Certificate, Error> {
        let key = KeyPair::generate().map_err(failed())?;
        let signed = about.signed_by(&key, &self.issuer).map_err(failed())?;
        Ok(Certificate::of(signed.der(), &key))
    }
}

impl Certificate {
    fn of(der: &[u8], key: &KeyPair) -> Self {
        Self {
            pem: pem("CERTIFICATE", der),
            key_pem: pem("PRIVATE KEY", key.serialized_der()),
            der: der.to_vec(),
            key_der: key.serialized_der().to_vec(),
        }
    }

    /// Signed by itself, as `openssl req -x509` makes it: an authority and a server at once.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn of_its_own(names: &[&str]) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(failed())?;
        let mut about = named("alone", names)?;
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = about.self_signed(&key).map_err(failed())?;
        Ok(Self::of(signed.der(), &key))
    }
}

fn failed() -> impl FnOnce(rcgen::Error) -> Error {
    Error::because("a certificate cannot be made")
}

fn named(common_name: &str, names: &[&str]) -> Result<CertificateParams, Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut about = CertificateParams::new(names).map_err(failed())?;
    about
        .distinguished_name
        .push(DnType::CommonName, common_name);
    Ok(about)
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes are a line of 64 letters.
    for line in der.chunks(48) {
        text.push_str(&STANDARD.encode(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
