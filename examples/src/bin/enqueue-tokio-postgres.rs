//! The same enqueue with tokio-postgres, as small as it gets: a business row and its message in one
//! transaction. Prints the message's id.

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use outbox_core::{Message, Outbox, schema};
use serde_json::json;
use tokio_postgres::NoTls;

/// Issues a policy and enqueues that it was issued.
#[derive(Debug, Parser)]
struct Options {
    /// The database, as a URL.
    #[arg(long)]
    database_url: String,
    /// Where the message goes: the Kafka topic.
    #[arg(long, default_value = "policy-events")]
    destination: String,
    /// The policy's number, and the message's key.
    #[arg(long, default_value_t = 4711)]
    policy: i64,
    /// What it costs a month.
    #[arg(long, default_value_t = 90)]
    premium: i64,
    /// Roll back instead: neither the policy nor the message will ever have been there.
    #[arg(long)]
    rollback: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let (mut client, connection) = tokio_postgres::connect(&options.database_url, NoTls)
        .await
        .context("the database cannot be reached")?;
    // Its error reaches us by the client, as that of the statement that met it.
    tokio::spawn(async move { drop(connection.await) });
    schema::migrate(&client).await?;
    client
        .batch_execute(
            "create table if not exists policy (number bigint primary key, premium bigint not null)",
        )
        .await?;

    let tx = client.transaction().await?;
    tx.execute(
        "insert into policy (number, premium) values ($1, $2)
         on conflict (number) do update set premium = excluded.premium",
        &[&options.policy, &options.premium],
    )
    .await?;
    let event = json!({ "policy": options.policy, "premium": options.premium });
    let message = Message::new(options.destination, "PolicyIssued")
        .key(options.policy)
        .json(&event)?;
    let message_id = Outbox::new().enqueue(&tx, message).await?;
    if options.rollback {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }

    writeln!(std::io::stdout(), "{message_id}")?;
    Ok(())
}
