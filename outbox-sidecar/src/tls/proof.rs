use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature_with_raw_key,
};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use super::files::Authorities;
use super::peer_name;

/// What a server has to prove, as `sslmode` says. That it has its certificate's key, always.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Who must have signed its certificate; anybody where there is none.
    pub(crate) trusted: Option<Authorities>,
    /// The host that its certificate must be for.
    pub(crate) name: Option<String>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

/// What rustls has no word for.
#[derive(Debug)]
pub(crate) enum Objection {
    /// The certificate is for other hosts.
    OtherNames(Vec<String>),
    /// It has no extensions.
    Version1,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherNames(names) if names.is_empty() => f.write_str("it is for no host at all"),
            Self::OtherNames(names) => write!(f, "it is for {}", names.join(", ")),
            Self::Version1 => f.write_str("it is of X.509 version 1"),
        }
    }
}

impl std::error::Error for Objection {}

impl From<Objection> for Error {
    fn from(objection: Objection) -> Self {
        CertificateError::Other(OtherError(Arc::new(objection))).into()
    }
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    match X509Certificate::from_der(certificate) {
        Ok((_, parsed)) => Ok(parsed),
        Err(_) => Err(CertificateError::BadEncoding.into()),
    }
}

impl Proof {
    fn check_chain(
        &self,
        trusted: &Authorities,
        certificate: &CertificateDer<'_>,
        parsed: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        // A server's own certificate can be trusted like an authority's, as OpenSSL does too.
        let is_its_own = parsed.subject() == parsed.issuer();
        if is_its_own && trusted.certificates.contains(certificate) {
            return check_validity(parsed, now);
        }
        if is_its_own && parsed.is_ca() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        if parsed.version() != X509Version::V3 {
            return Err(Objection::Version1.into());
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(certificate)?,
            &trusted.roots,
            intermediates,
            now,
            self.algorithms.all,
        )
    }
}

fn check_validity(parsed: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let now = ASN1Time::from_timestamp(seconds).map_err(|_| CertificateError::BadEncoding)?;
    let validity = parsed.validity();
    if now > validity.not_after {
        return Err(CertificateError::Expired.into());
    }
    if now < validity.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    Ok(())
}

impl ServerCertVerifier for Proof {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = parsed(certificate)?;
        if let Some(trusted) = &self.trusted {
            self.check_chain(trusted, certificate, &parsed, intermediates, now)?;
        }
        if let Some(name) = &self.name {
            peer_name::check(&parsed, name).map_err(Objection::OtherNames)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // By the key alone: a certificate without extensions has one too.
        let parsed = parsed(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::*;

    fn check(trusted: Option<Vec<CertificateDer<'static>>>) -> Result<ServerCertVerified, Error> {
        let pem = include_bytes!("proof/version_1.pem");
        let certificate = CertificateDer::from_pem_slice(pem).unwrap();
        let proof = Proof {
            trusted: trusted.map(|certificates| Authorities {
                roots: RootCertStore::empty(),
                certificates,
            }),
            name: Some("localhost".to_owned()),
            algorithms: ring::default_provider().signature_verification_algorithms,
        };
        let name = ServerName::try_from("localhost").unwrap();
        let now = UnixTime::now();
        proof.verify_server_cert(&certificate, &[], &name, &[], now)
    }

    /// What older guides make of `openssl x509 -req`.
    #[test]
    fn a_certificate_without_extensions_is_trusted_for_itself_only() {
        let pem = include_bytes!("proof/version_1.pem");
        let own = CertificateDer::from_pem_slice(pem).unwrap();
        assert!(check(None).is_ok());
        assert!(check(Some(vec![own])).is_ok());
        let unknown = check(Some(Vec::new())).unwrap_err().to_string();
        assert!(unknown.contains("Version1"), "{unknown}");
    }
}
