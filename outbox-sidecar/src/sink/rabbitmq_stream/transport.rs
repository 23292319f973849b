//! The way to a broker: TCP, with TLS where the address says so.

use std::io;

use outbox_core::sink::AcquireError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::address::Address;

pub(super) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// Connects, without a time limit of its own.
pub(super) async fn connect(address: &Address) -> Result<(ReadHalf, WriteHalf), AcquireError> {
    let place = address.place();
    let away = |error: io::Error| AcquireError::Unavailable(format!("{place}: {error}"));
    let refused = |said: String| AcquireError::Fatal(format!("{place}: {said}"));
    let config = match &address.tls {
        None => None,
        Some(tls) => {
            let config = tls.config(&address.host).await;
            Some((tls, config.map_err(|error| refused(error.to_string()))?))
        }
    };
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await;
    let tcp = tcp.map_err(away)?;
    tcp.set_nodelay(true).map_err(away)?;
    let Some((tls, config)) = config else {
        let (read, write) = tcp.into_split();
        return Ok((Box::new(read), Box::new(write)));
    };
    let name = ServerName::try_from(address.host.clone());
    let name = name.map_err(|error| refused(error.to_string()))?;
    let connecting = TlsConnector::from(config).connect(name, tcp);
    let stream = connecting.await.map_err(|error| {
        let refusal = tls.refusal(&error, &address.host);
        refusal.map_or_else(|| away(error), refused)
    })?;
    let (read, write) = tokio::io::split(stream);
    Ok((Box::new(read), Box::new(write)))
}
