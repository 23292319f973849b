//! The way to a broker: TCP, with TLS where the address says so, a [`Screen`] before lapin's parser,
//! and an end when nobody wants the connection any more.
//!
//! lapin 4.12 reads what comes as if it came from a broker. Left alone, its thread overflows its stack
//! over tables in tables, which ends the process, keeps every returned message, and lives on with a
//! connection that was given up, for as long as the broker shows life.

mod runtime;
mod screen;
mod stream;
mod tables;

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use lapin::tcp::AsyncTcpStream;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::settings::Broker;
pub(super) use runtime::TransportRuntime;
use screen::Screen;
pub(super) use screen::{FRAME_BYTES_MAX, FRAME_BYTES_MIN};
pub(super) use stream::Stream;

/// Whoever drops it ends the connection that it belongs to.
#[derive(Debug)]
pub(super) struct Lifeline(#[expect(dead_code, reason = "held to be dropped")] oneshot::Sender<()>);

/// Makes one connection.
pub(super) struct Dialler {
    broker: Broker,
    /// The most that can be on its way to the broker at once.
    in_flight_bytes_max: u64,
    lifeline: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Dialler {
    /// One for a connection that ends with its lifeline.
    pub(super) fn new(broker: Broker, in_flight_bytes_max: u64) -> (Self, Lifeline) {
        let (held, watched) = oneshot::channel();
        let lifeline = Mutex::new(Some(watched));
        let dialler = Self {
            broker,
            in_flight_bytes_max,
            lifeline,
        };
        (dialler, Lifeline(held))
    }

    /// Connects, once: until the lifeline is dropped, or for as long as the address says.
    pub(super) async fn dial(&self) -> io::Result<AsyncTcpStream<Stream>> {
        let held = self.lifeline.lock();
        let lifeline = held.ok().and_then(|mut lifeline| lifeline.take());
        // lapin does not connect a second time unless it is told to.
        let mut lifeline = lifeline.ok_or_else(|| io::Error::other("the connection was made"))?;
        let socket = tokio::select! {
            // Nothing is ever sent through it.
            _ = &mut lifeline => return Err(stream::given_up()),
            socket = self.socket_in_time() => socket?,
        };
        let screen = Screen::new(self.in_flight_bytes_max);
        Ok(AsyncTcpStream::Plain(Stream::new(socket, screen, lifeline)))
    }

    async fn socket_in_time(&self) -> io::Result<stream::Socket> {
        let Some(limit_ms) = self.broker.uri.query.connection_timeout else {
            return self.socket().await;
        };
        let connecting = tokio::time::timeout(Duration::from_millis(limit_ms), self.socket());
        connecting.await.map_err(|_| {
            let text = format!("no connection within connection_timeout, {limit_ms} ms");
            io::Error::new(io::ErrorKind::TimedOut, text)
        })?
    }

    async fn socket(&self) -> io::Result<stream::Socket> {
        let authority = &self.broker.uri.authority;
        let tcp = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.broker.tls else {
            return Ok(Box::new(tcp));
        };
        let config = tls
            .config(&authority.host)
            .await
            .map_err(io::Error::other)?;
        let name = ServerName::try_from(authority.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(
            TlsConnector::from(config).connect(name, tcp).await?,
        ))
    }
}

#[cfg(test)]
mod tests;
