//! A look at a broker's certificate, when librdkafka does not accept it: it says no more than that.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::tls::check_name;

/// How long a broker may take to accept the connection, and for each step until it has shown its
/// certificate.
const STEP_MAX: Duration = Duration::from_secs(3);

/// What speaks against the certificate of the broker at `host:port`; none where it cannot be seen.
pub(super) fn objection(place: &str) -> Option<String> {
    let (host, _) = place.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    let shown = shown(place, host)?;
    let (_, certificate) = X509Certificate::from_der(&shown).ok()?;
    if let Err(names) = check_name(&certificate, host) {
        let names = match names.is_empty() {
            true => "no host at all".to_owned(),
            false => names.join(", "),
        };
        return Some(format!(
            "it is for {names}, and not for {host}: name the broker by a name that it has (in \
             bootstrap.servers, or in advertised.listeners there), or make it anew with that name \
             in subjectAltName"
        ));
    }
    let seconds = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    let now = ASN1Time::from_timestamp(i64::try_from(seconds.as_secs()).ok()?).ok()?;
    if now > certificate.validity().not_after {
        let what = "it has expired: renew it on the broker, and look at the clock here";
        return Some(what.to_owned());
    }
    if now < certificate.validity().not_before {
        return Some("it is not valid yet: look at the clock here and there".to_owned());
    }
    Some(format!(
        "no authority in ssl.ca.location (without it: of the operating system) has signed it; its \
         issuer is {}: put that authority's certificate there",
        certificate.issuer()
    ))
}

fn shown(place: &str, host: &str) -> Option<CertificateDer<'static>> {
    let address = place.to_socket_addrs().ok()?.next()?;
    let mut tcp = TcpStream::connect_timeout(&address, STEP_MAX).ok()?;
    tcp.set_read_timeout(Some(STEP_MAX)).ok()?;
    tcp.set_write_timeout(Some(STEP_MAX)).ok()?;
    let onlooker = Arc::new(Onlooker::default());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&onlooker) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    // It ends as soon as the certificate is there: nothing is ever said on this connection.
    let _ = connection.complete_io(&mut tcp);
    let mut seen = onlooker.seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.take()
}

/// Accepts no certificate, but keeps it.
#[derive(Debug, Default)]
struct Onlooker {
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(certificate.clone().into_owned());
        Err(Error::General("seen".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("never asked".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("never asked".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
