use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::oid;
use x509_parser::oid_registry::{
    OID_HASH_SHA1, OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::AlgorithmIdentifier;

/// What binds a login to the server's certificate, `tls-server-end-point`: its hash by the function
/// of its own signature, SHA-256 instead of MD5 and SHA-1. None where a signature has no such
/// function, as Ed25519: the server knows none either.
/// <https://www.rfc-editor.org/rfc/rfc5929#section-4.1>
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(match hash_of(&parsed.signature_algorithm)? {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

#[derive(Clone, Copy)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

fn hash_of(signature: &AlgorithmIdentifier<'_>) -> Option<Hash> {
    // RSA by PKCS#1 with MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512; ECDSA with the same; DSA.
    let by_signature = [
        (oid!(1.2.840.113549.1.1.4), Hash::Sha256),
        (oid!(1.2.840.113549.1.1.5), Hash::Sha256),
        (oid!(1.2.840.113549.1.1.14), Hash::Sha224),
        (oid!(1.2.840.113549.1.1.11), Hash::Sha256),
        (oid!(1.2.840.113549.1.1.12), Hash::Sha384),
        (oid!(1.2.840.113549.1.1.13), Hash::Sha512),
        (oid!(1.2.840.10045.4.1), Hash::Sha256),
        (oid!(1.2.840.10045.4.3.1), Hash::Sha224),
        (oid!(1.2.840.10045.4.3.2), Hash::Sha256),
        (oid!(1.2.840.10045.4.3.3), Hash::Sha384),
        (oid!(1.2.840.10045.4.3.4), Hash::Sha512),
        (oid!(1.2.840.10040.4.3), Hash::Sha256),
        (oid!(2.16.840.1.101.3.4.3.1), Hash::Sha224),
        (oid!(2.16.840.1.101.3.4.3.2), Hash::Sha256),
    ];
    let known = |(oid, _): &&(Oid<'_>, Hash)| *oid == signature.algorithm;
    if let Some((_, hash)) = by_signature.iter().find(known) {
        return Some(*hash);
    }
    // RSASSA-PSS names its hash beside it.
    if signature.algorithm != oid!(1.2.840.113549.1.1.10) {
        return None;
    }
    let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(signature)
    else {
        return None;
    };
    let hash = parameters.hash_algorithm_oid();
    let by_hash = [
        (OID_HASH_SHA1, Hash::Sha256),
        (oid!(2.16.840.1.101.3.4.2.4), Hash::Sha224),
        (OID_NIST_HASH_SHA256, Hash::Sha256),
        (OID_NIST_HASH_SHA384, Hash::Sha384),
        (OID_NIST_HASH_SHA512, Hash::Sha512),
    ];
    let found = by_hash.iter().find(|(oid, _)| oid == hash);
    found.map(|(_, hash)| *hash)
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::*;

    fn hexadecimal(pem: &str) -> String {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let hash = end_point(&certificate).unwrap();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As `openssl x509 -outform der | openssl dgst` says of the same files.
    #[test]
    fn the_hash_is_that_of_the_certificates_signature() {
        assert_eq!(
            hexadecimal(include_str!("end_point/rsa_sha512.pem")),
            "d06e1c37bb75f9591b3cc85946310426d9691b1a62abd6a5f1960237ec6f7b52\
             b7ad18298b648c4ff54f45ad3898737d9f9500e92b68da0c563c38d5661453a6"
        );
        assert_eq!(
            hexadecimal(include_str!("end_point/rsa_pss_sha384.pem")),
            "c788c3497500a9cc5fdaf60ade1505ea38d978d67797a51f\
             2a5614ce2218263833a18a8457625aa39cd6d1ac08220be7"
        );
        // SHA-1 is replaced.
        assert_eq!(
            hexadecimal(include_str!("end_point/rsa_sha1.pem")),
            "d4609230d2a8c4cb2d948dd9084705eaaefdcda0331309ade629ed5c3137124e"
        );
        assert_eq!(end_point(b"no certificate"), None);
    }
}
