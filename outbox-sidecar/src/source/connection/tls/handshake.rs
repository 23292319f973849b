use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;

use super::TlsError;
use super::end_point::end_point;
use super::files;
use super::settings::TlsSettings;
use crate::source::connection::HostAddress;
use crate::source::connection::ssl_mode::SslMode;
use crate::tls::Proof;

/// rustls reads 4 KiB at a time, and a walsender sends each row as a record of its own: the work of
/// one read of the socket is shared by all of them.
const READ_BYTES: usize = 256 * 1024;

/// What we speak, as PostgreSQL 17 and later want to hear it.
const ALPN: &[u8] = b"postgresql";

/// A socket with TLS on it.
#[derive(Debug)]
pub(crate) struct TlsSocket {
    pub(in crate::source::connection) stream: TlsStream<BufReader<TcpStream>>,
    /// What a login can be bound to.
    pub(in crate::source::connection) end_point: Option<Vec<u8>>,
}

/// What a server says to the request for TLS.
#[derive(Debug)]
pub(in crate::source::connection) enum Encrypted {
    /// It has it.
    Yes(Box<TlsSocket>),
    /// It has not, and goes on without.
    No(TcpStream),
}

/// Asks the server for TLS and starts it, with the files as they are now.
pub(in crate::source::connection) async fn encrypt(
    mut tcp: TcpStream,
    host: &HostAddress,
    settings: &TlsSettings,
) -> Result<Encrypted, TlsError> {
    // Before a word is sent: what is wrong here is no matter of the server's.
    let config = config(host, settings).await?;
    let name = server_name(host, &tcp)?;
    if !settings.is_direct {
        let mut request = bytes::BytesMut::new();
        postgres_protocol::message::frontend::ssl_request(&mut request);
        tcp.write_all(&request).await.map_err(TlsError::Broken)?;
        match tcp.read_u8().await.map_err(TlsError::Broken)? {
            b'S' => {}
            b'N' => return Ok(Encrypted::No(tcp)),
            _ => return Err(TlsError::Confused),
        }
    }
    let tcp = BufReader::with_capacity(READ_BYTES, tcp);
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let asked_for = host.name.as_deref().unwrap_or_default();
    let stream = connecting
        .await
        .map_err(|error| TlsError::of_handshake(error, settings.is_direct, asked_for))?;
    let (_, session) = stream.get_ref();
    if settings.is_direct && session.alpn_protocol() != Some(ALPN) {
        return Err(TlsError::NotDirect);
    }
    let certificates = session.peer_certificates();
    let end_point = certificates
        .and_then(<[_]>::first)
        .and_then(|certificate| end_point(certificate));
    Ok(Encrypted::Yes(Box::new(TlsSocket { stream, end_point })))
}

/// How to speak TLS, by the files as they are at present: what is rotated needs no restart.
async fn config(host: &HostAddress, settings: &TlsSettings) -> Result<ClientConfig, TlsError> {
    let settings = settings.clone();
    let name = match (settings.mode, &host.name) {
        (SslMode::VerifyFull, None) => return Err(TlsError::NameMissing),
        (SslMode::VerifyFull, name) => name.clone(),
        _ => None,
    };
    let reading = tokio::task::spawn_blocking(move || {
        let provider = ring::default_provider();
        let proof = Proof {
            trusted: files::trusted(&settings)?,
            name,
            algorithms: provider.signature_verification_algorithms,
        };
        let other = |error: tokio_rustls::rustls::Error| TlsError::Other(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(settings.versions)
            .map_err(other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(proof));
        let mut config = match files::identity(&settings)? {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| TlsError::Identity(error.to_string()))?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = settings.names_server;
        Ok(config)
    });
    reading
        .await
        .map_err(|error| TlsError::Broken(io::Error::other(error)))?
}

/// What is said to the server, and not what is checked: a name that TLS cannot say is left out.
fn server_name(host: &HostAddress, tcp: &TcpStream) -> Result<ServerName<'static>, TlsError> {
    let name = host.name.clone().map(ServerName::try_from);
    if let Some(Ok(name)) = name {
        return Ok(name);
    }
    let address = tcp.peer_addr().map_err(TlsError::Broken)?;
    Ok(ServerName::IpAddress(address.ip().into()))
}
