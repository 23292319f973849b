//! A proxy on 127.0.0.1 that reads Kafka's frames, and does something to the requests it was told of.
//!
//! It keeps the broker's side of a connection that its client has given up, so that what it held
//! reaches the broker late, as over a bad network: after the client has repeated it elsewhere.

mod connection;
mod fault;
mod ledger;
mod request;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::watch;

pub use self::fault::{Action, Fault, Injected, Progress, Stage, Until};
use self::ledger::Ledger;
pub use self::ledger::Seen;
pub use self::request::RequestKind;
use crate::error::Error;
use crate::ports::ReservedPort;

/// A proxy with a thread of its own, so that a test that blocks does not stop it. It starts out
/// forwarding everything; dropped, it ends every connection.
///
/// The broker must tell its clients the proxy's address, see
/// [`KafkaOptions::proxied_as`](crate::KafkaOptions::proxied_as): otherwise they go past it.
#[derive(Debug)]
pub struct KafkaProxy {
    port: ReservedPort,
    /// `None` ends the proxy.
    upstream: watch::Sender<Option<String>>,
    ledger: Arc<Ledger>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaProxy {
    /// A proxy that closes every connection until [`set_upstream`](Self::set_upstream) is called:
    /// the broker has to be told the proxy's port when it starts.
    ///
    /// # Errors
    /// When no port is free or the thread cannot be started.
    pub fn start_without_upstream() -> Result<Self, Error> {
        let fail = || Error::because("the proxy cannot be started");
        let port = ReservedPort::find()?;
        let address = (Ipv4Addr::LOCALHOST, port.number());
        let (upstream, told) = watch::channel(Some(String::new()));
        let ledger = Arc::<Ledger>::default();
        let serving = Arc::clone(&ledger);
        let thread = std::thread::Builder::new().name("kafka-proxy".to_owned());
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(fail())?;
        // A test may call this from a runtime of its own, where another cannot be waited for.
        let listener = std::net::TcpListener::bind(address).map_err(fail())?;
        listener.set_nonblocking(true).map_err(fail())?;
        let thread = thread
            .spawn(move || runtime.block_on(serve(listener, told, serving)))
            .map_err(fail())?;
        Ok(Self {
            port,
            upstream,
            ledger,
            thread: Some(thread),
        })
    }

    /// The proxy's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Forwards new connections to this server, `host:port`.
    pub fn set_upstream(&self, upstream: &str) {
        self.upstream.send_replace(Some(upstream.to_owned()));
    }

    /// Lies in wait for a request. Each strikes once; of several that wait for the same request the
    /// one that was injected first strikes.
    #[must_use]
    pub fn inject(&self, fault: Fault) -> Injected {
        self.ledger.inject(fault)
    }

    /// The requests of a transactional id that have come so far, the newest 20,000 of all ids.
    #[must_use]
    pub fn seen(&self, transactional_id: &str) -> Vec<Seen> {
        self.ledger.seen(transactional_id)
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        self.upstream.send_replace(None);
        if let Some(thread) = self.thread.take() {
            // A panic there was already printed by the runtime.
            drop(thread.join());
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    mut told: watch::Receiver<Option<String>>,
    ledger: Arc<Ledger>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let Some(upstream) = told.borrow().clone() else { return };
                number += 1;
                let (number, ledger) = (number, Arc::clone(&ledger));
                // It ends with the runtime at the latest.
                tokio::spawn(async move {
                    if let Ok(broker) = TcpStream::connect(upstream).await {
                        connection::carry(number, client, broker, &ledger).await;
                    }
                });
            }
            changed = told.changed() => {
                if changed.is_err() || told.borrow().is_none() {
                    return;
                }
            }
        }
    }
}
