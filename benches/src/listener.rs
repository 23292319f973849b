//! A read_committed consumer that notes when each record arrives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::message::Headers;
use uuid::Uuid;

use crate::audience::consumer;
use crate::servers::Servers;

/// Longest wait for a record before the end is looked for; an arriving record ends it at once.
const POLL: Duration = Duration::from_millis(50);
/// Longest time that the broker holds a fetch back. It answers one as soon as something becomes
/// visible; this only bounds what a missed wake-up costs.
const FETCH_WAIT_MS: &str = "5";

/// A record that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Its header `outbox-id`.
    pub(crate) id: Uuid,
    /// When the consumer had it.
    pub(crate) at: Instant,
}

/// A thread that consumes a topic; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Listener {
    arrivals: mpsc::Receiver<Arrival>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens to the topic from its beginning.
    pub(crate) fn start(servers: &Servers, topic: &str) -> anyhow::Result<Self> {
        let mut config = servers.kafka()?.address().client_config();
        config.set("fetch.wait.max.ms", FETCH_WAIT_MS);
        let (consumer, _) = consumer(config, topic)?;
        let ended = Arc::new(AtomicBool::new(false));
        let (sender, arrivals) = mpsc::channel();
        let until = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                // Errors are repeated by the client itself; what is missing shows in the end.
                let Some(Ok(record)) = consumer.poll(POLL) else {
                    continue;
                };
                let at = Instant::now();
                let headers = record.headers().into_iter().flat_map(Headers::iter);
                let id = headers
                    .filter(|header| header.key == "outbox-id")
                    .find_map(|header| std::str::from_utf8(header.value?).ok()?.parse().ok());
                if let Some(id) = id
                    && sender.send(Arrival { id, at }).is_err()
                {
                    return;
                }
            }
        });
        Ok(Self {
            arrivals,
            ended,
            thread: Some(thread),
        })
    }

    /// The next arrival; `None` when there is none within `deadline`.
    pub(crate) fn next(&self, deadline: Duration) -> Option<Arrival> {
        self.arrivals.recv_timeout(deadline).ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there was already printed by the runtime.
            drop(thread.join());
        }
    }
}
