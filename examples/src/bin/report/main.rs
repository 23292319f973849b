//! A consumer of RabbitMQ: makes the reports that others order, each once.
//!
//! The part to read is `consume.rs` and the transaction in `reports.rs`. An order goes through these
//! steps, and the program may be killed between any two:
//!
//! 1. receive
//! 2. begin, accept the id in the inbox, make the report, commit
//! 3. acknowledge
//!
//! Killed before the commit: nothing has happened, and the order comes again. Killed after it: the
//! order comes again, and the inbox knows it. While the service is down, orders wait in its queue.
//!
//! What cannot be made goes to the dead-letter queue, where somebody looks at it, and the next order
//! is made meanwhile: poison, but also an unknown type and a tombstone. On a topic those two would be
//! for somebody else; a queue has one reader, and what that drops nobody does. None of them is in
//! the inbox: mended and sent again under its id, it shall be made.

mod consume;
mod database;
mod order;
mod queue;
mod reports;

use std::error::Error;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use lapin::uri::AMQPUri;
use outbox_core::{Inbox, schema};
use outbox_examples::Stop;
use sqlx::postgres::PgPoolOptions;

use reports::Reports;

/// The pause before the next try to reach RabbitMQ.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Makes reports.
#[derive(Debug, Parser)]
struct Options {
    /// The database of the reports, as a URL.
    #[arg(long)]
    database_url: String,
    /// RabbitMQ, as a URL.
    #[arg(long)]
    amqp_url: AMQPUri,
    /// Where the orders wait: the destination of those who order. Made when it is not there; what
    /// cannot be made goes to the queue of this name with `.dead` at its end.
    #[arg(long, default_value = "reports")]
    queue: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    let stop = Stop::on_sigterm()?;
    // One order at a time.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&options.database_url)
        .await
        .context("the database cannot be reached")?;
    let mut connection = pool.acquire().await?;
    schema::migrate(&mut connection).await?;
    database::migrate(&mut connection)
        .await
        .context("the tables of the reports cannot be made")?;
    drop(connection);

    let reports = Reports {
        pool,
        inbox: Inbox::new(),
    };
    while let Err(error) = consume::session(&options, &reports, &stop).await {
        let error: &(dyn Error + 'static) = error.as_ref();
        tracing::warn!(error, "RabbitMQ is away, trying again");
        tokio::select! {
            () = stop.requested() => break,
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
        }
    }
    Ok(())
}
