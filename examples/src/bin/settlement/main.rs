//! A consumer of Kafka: settles what the orders service publishes, each event once.
//!
//! The part to read is the loop in `consume` and the transaction in `settlements.rs`. An event goes
//! through these steps, and the program may be killed between any two:
//!
//! 1. receive, only what is committed (`isolation.level=read_committed`)
//! 2. begin, accept the id in the inbox, book, commit
//! 3. let the offset be committed
//!
//! Killed before the commit: nothing has happened, and the event comes again. Killed after it: the
//! event comes again, and the inbox knows it.
//!
//! What cannot be settled:
//! - **An unknown type** is skipped: the topic is for everybody, and its next kind of event is not
//!   for us until somebody teaches us.
//! - **A tombstone** is skipped: it ends what a compacted topic keeps of a key, and what is settled
//!   stays settled.
//! - **Poison** (a known type that cannot be read) is parked in our own database, then its offset is
//!   passed. Kafka has no queue for it, and stopping there would hold up every customer of the
//!   partition for one event. Sums do not mind the order; where later events of a key depend on
//!   earlier ones, stop instead.

mod consumer;
mod database;
mod event;
mod settlements;

use anyhow::{Context, bail};
use clap::Parser;
use outbox_core::{Inbox, schema};
use outbox_examples::{Stop, until_handled};
use rdkafka::consumer::StreamConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use sqlx::postgres::PgPoolOptions;

use consumer::{commit_offsets, pass};
use event::Received;
use settlements::Settlements;

/// Settles orders and their cancellations.
#[derive(Debug, Parser)]
struct Options {
    /// The database of the settlements, as a URL.
    #[arg(long)]
    database_url: String,
    /// Kafka's brokers, `host:port`, separated by commas.
    #[arg(long)]
    bootstrap_servers: String,
    /// What the orders service publishes to.
    #[arg(long, default_value = "orders")]
    topic: String,
    /// All instances share one group, and the group is the consumer that the inbox knows.
    #[arg(long, default_value = "settlement")]
    group: String,
    /// A name that this instance keeps over restarts, such as that of a pod in a stateful set: then
    /// it takes its partitions up at once after a crash, and not after the session's time-out.
    #[arg(long)]
    instance: Option<String>,
    /// How often offsets are committed. What was settled since comes again after a crash.
    #[arg(long, default_value_t = 1000)]
    commit_interval_ms: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    let stop = Stop::on_sigterm()?;
    // One at a time, as Kafka delivers a partition.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&options.database_url)
        .await
        .context("the database cannot be reached")?;
    let mut connection = pool.acquire().await?;
    schema::migrate(&mut connection).await?;
    database::migrate(&mut connection)
        .await
        .context("the tables of the settlements cannot be made")?;
    drop(connection);

    let settlements = Settlements {
        pool,
        inbox: Inbox::new(),
        consumer: options.group.clone(),
    };
    let consumer = consumer::subscribe(&options).context("Kafka cannot be consumed from")?;
    consume(&consumer, &settlements, &stop).await?;
    commit_offsets(&consumer)
}

/// Handles one event after the other, until the program is asked to end.
async fn consume(
    consumer: &StreamConsumer,
    settlements: &Settlements,
    stop: &Stop,
) -> anyhow::Result<()> {
    loop {
        let received = tokio::select! {
            () = stop.requested() => return Ok(()),
            received = consumer.recv() => received,
        };
        let message = match received {
            Ok(message) => message,
            Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error.into()),
            // The client mends the rest by itself: a broker away, a rebalance.
            Err(error) => {
                tracing::warn!(%error, "Kafka did not deliver");
                continue;
            }
        };
        if !handle(&message, settlements, stop).await? {
            return Ok(());
        }
        // Last, after the commit of the database: what is passed is never delivered again.
        pass(consumer, &message)?;
    }
}

/// Settles or parks an event, or skips it; false when the program was asked to end before.
async fn handle(
    message: &BorrowedMessage<'_>,
    settlements: &Settlements,
    stop: &Stop,
) -> anyhow::Result<bool> {
    let work = async || match event::read(message)? {
        Received::Settle(event) => settlements.settle(&event).await,
        Received::Skip(why) => {
            tracing::debug!(offset = message.offset(), why, "skipped");
            Ok(())
        }
    };
    let reason = match until_handled(stop, work).await {
        None => return Ok(false),
        Some(Ok(())) => return Ok(true),
        Some(Err(reason)) => reason,
    };
    let (partition, offset) = (message.partition(), message.offset());
    tracing::error!(partition, offset, reason, "an event is poison, parking it");
    let park = async || settlements.park(message, &reason).await;
    match until_handled(stop, park).await {
        None => Ok(false),
        Some(Ok(())) => Ok(true),
        // To pass it now would lose it.
        Some(Err(what)) => {
            bail!("event {offset} of partition {partition} cannot be parked: {what}")
        }
    }
}
