//! A service that takes insurance orders and publishes what happened to them.
//!
//! Each change and its event are one transaction: `orders.rs` is the part to read. The relay, which
//! this program knows nothing of, carries the events to Kafka.
//!
//! | request | answer |
//! |---|---|
//! | `POST /orders` `{"customer", "product", "premium_cents"}` | 201 `{"order_id", "message_id"}` |
//! | `POST /orders/batch` `{"orders": […]}` | 201 `{"orders": [{"order_id", "message_id"}, …]}`: all or none |
//! | `POST /orders/{id}/cancel` | 200 `{"order_id", "message_id"}` |
//! | `GET /health` | 200 when the database answers |
//!
//! Refused: 404 no such order, 409 cancelled already, 422 `{"error", "message_ids"}` a customer's
//! limit is exceeded, found after the enqueue, so that the rollback takes the events back.

mod database;
mod events;
mod http;
mod orders;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use outbox_core::{Outbox, schema};
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use orders::Orders;

/// How long a request waits for a free connection to the database.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);

/// Takes orders and enqueues what happened to them.
#[derive(Debug, Parser)]
struct Options {
    /// The database, as a URL.
    #[arg(long)]
    database_url: String,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the events go: the Kafka topic.
    #[arg(long, default_value = "orders")]
    destination: String,
    /// Connections to the database.
    #[arg(long, default_value_t = 8)]
    connections_max: u32,
    /// What a customer may owe in all; an order beyond it is refused.
    #[arg(long, default_value_t = 100_000_000)]
    open_premium_cents_max: i64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    let pool = PgPoolOptions::new()
        .max_connections(options.connections_max)
        .acquire_timeout(ACQUIRE_MAX)
        .connect(&options.database_url)
        .await
        .context("the database cannot be reached")?;
    let mut connection = pool.acquire().await?;
    schema::migrate(&mut connection).await?;
    database::migrate(&mut connection)
        .await
        .context("the tables of the orders cannot be made")?;
    drop(connection);

    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    say_address(listener.local_addr()?)?;
    let orders = Orders {
        pool,
        outbox: Outbox::new(),
        destination: options.destination,
        open_premium_cents_max: options.open_premium_cents_max,
    };
    let mut stop = signal(SignalKind::terminate())?;
    axum::serve(listener, http::router(orders))
        .with_graceful_shutdown(async move {
            stop.recv().await;
        })
        .await?;
    Ok(())
}

/// One line of JSON: with port 0 nobody knows the port otherwise.
fn say_address(address: SocketAddr) -> std::io::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, r#"{{"listening":"{address}"}}"#)?;
    output.flush()
}
