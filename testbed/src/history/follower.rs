//! What consumers see while it comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::error::Error;
use crate::history::rabbitmq::consume;
use crate::history::reader::{Record, consumer};
use crate::kafka::{KafkaAddress, blocking};
use crate::rabbitmq::RabbitAddress;
use crate::wait;

/// For one answer of the broker: short, so that a follower notices its end.
const FOLLOWER_POLL: Duration = Duration::from_millis(20);

/// Reads topics, or a queue, as they grow, from their beginning, on a thread for each.
#[derive(Debug)]
pub struct Follower {
    records: Arc<Mutex<Vec<Record>>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Follower {
    /// Starts to follow.
    ///
    /// # Errors
    /// When a topic is missing or the cluster does not answer.
    pub async fn start(address: &KafkaAddress, topics: &[&str]) -> Result<Self, Error> {
        let mut follower = Self {
            records: Arc::default(),
            ended: Arc::default(),
            threads: Vec::new(),
        };
        for topic in topics {
            let (address, topic) = (address.clone(), (*topic).to_owned());
            let (consumer, _) = blocking(move || consumer(&address, &topic)).await?;
            let (records, ended) = (Arc::clone(&follower.records), Arc::clone(&follower.ended));
            follower.threads.push(std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    // Errors pass: a broker that a test killed comes back.
                    if let Some(Ok(message)) = consumer.poll(FOLLOWER_POLL) {
                        let record = Record::from_message(&message);
                        records
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(record);
                    }
                }
            }));
        }
        Ok(follower)
    }

    /// Starts to take everything out of a RabbitMQ queue, or to read a stream from its beginning.
    ///
    /// # Errors
    /// When the node does not answer, or has no such queue.
    pub async fn of_rabbitmq(
        address: &RabbitAddress,
        queue: &str,
        is_stream: bool,
    ) -> Result<Self, Error> {
        let mut follower = Self {
            records: Arc::default(),
            ended: Arc::default(),
            threads: Vec::new(),
        };
        let (records, ended) = (Arc::clone(&follower.records), Arc::clone(&follower.ended));
        let (address, queue) = (address.clone(), queue.to_owned());
        let (begun, beginning) = tokio::sync::oneshot::channel();
        follower.threads.push(std::thread::spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(_) => return,
            };
            runtime.block_on(async {
                let consumer = consume(&address, &queue, is_stream).await;
                let mut consumer = match consumer {
                    Ok(consumer) => consumer,
                    Err(error) => return drop(begun.send(Err(error))),
                };
                drop(begun.send(Ok(())));
                while !ended.load(Ordering::Relaxed) {
                    if let Some(record) = consumer.next(FOLLOWER_POLL).await {
                        records
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(record);
                    }
                }
            });
        }));
        match beginning.await {
            Ok(begun) => begun.map(|()| follower),
            Err(_) => Err(Error::new("the thread of a follower ended")),
        }
    }

    /// How many records have arrived.
    #[must_use]
    pub fn count(&self) -> usize {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// What has arrived, in the order of arrival.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until at least `count` records have arrived.
    ///
    /// # Errors
    /// When they have not within `deadline`; the error says how many have.
    pub async fn arrived(&self, count: usize, deadline: Duration) -> Result<(), Error> {
        let what = format!("{count} records");
        let waited = wait::until(&what, deadline, async || self.count() >= count).await;
        waited.map_err(|error| Error::new(format!("{error}; {} arrived", self.count())))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there was already printed by the runtime.
            drop(thread.join());
        }
    }
}
