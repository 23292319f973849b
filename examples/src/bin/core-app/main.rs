//! A service that orders reports from another one, point to point.
//!
//! The order and its message are one transaction: `report_orders.rs` is the part to read. The relay
//! carries the message to the queue of the `report` service, which may be down for an hour: nobody
//! here waits for it.
//!
//! | request | answer |
//! |---|---|
//! | `POST /reports` `{"customer", "month"}` | 202 `{"report_id", "message_id"}` |
//! | `GET /health` | 200 when the database answers |

mod http;
mod report_orders;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use outbox_core::{Outbox, schema};
use outbox_examples::Stop;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;

use report_orders::ReportOrders;

/// How long a request waits for a free connection to the database.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);

/// Takes wishes for reports and orders them.
#[derive(Debug, Parser)]
struct Options {
    /// The database, as a URL.
    #[arg(long)]
    database_url: String,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Where orders go: the queue of the report service.
    #[arg(long, default_value = "reports")]
    destination: String,
    /// Connections to the database.
    #[arg(long, default_value_t = 8)]
    connections_max: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    let stop = Stop::on_sigterm()?;
    let pool = PgPoolOptions::new()
        .max_connections(options.connections_max)
        .acquire_timeout(ACQUIRE_MAX)
        .connect(&options.database_url)
        .await
        .context("the database cannot be reached")?;
    let mut connection = pool.acquire().await?;
    schema::migrate(&mut connection).await?;
    report_orders::migrate(&mut connection)
        .await
        .context("the table of the orders cannot be made")?;
    drop(connection);

    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    say_address(listener.local_addr()?)?;
    let orders = ReportOrders {
        pool,
        outbox: Outbox::new(),
        destination: options.destination,
    };
    axum::serve(listener, http::router(orders))
        .with_graceful_shutdown(async move { stop.requested().await })
        .await?;
    Ok(())
}

/// One line of JSON: with port 0 nobody knows the port otherwise.
fn say_address(address: SocketAddr) -> std::io::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, r#"{{"listening":"{address}"}}"#)?;
    output.flush()
}
