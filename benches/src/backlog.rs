//! A backlog: rows that wait in the outbox when the relay starts.

use std::fmt;

use anyhow::Context;
use outbox_core::{Lsn, Message, Outbox};
use tokio_postgres::Client;

use crate::servers::{Place, Servers};

/// The length of every payload, in bytes.
const PAYLOAD_BYTES: usize = 300;
/// Of the number at the beginning of the payload.
pub(crate) const NUMBER_DIGITS: usize = 10;
pub(crate) const KEYS: u64 = 1000;
/// Of one COPY.
const COPY_ROWS: u64 = 1000;

/// How the rows are spread over transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// A thousand rows a transaction, by COPY.
    Thousands,
    /// One row a transaction, by INSERT.
    Singles,
    /// All rows in one transaction, by COPY: the server writes it to disk before it sends any.
    Whole,
}

impl Shape {
    const fn rows_per_transaction(self) -> u64 {
        match self {
            Self::Thousands => COPY_ROWS,
            Self::Singles => 1,
            Self::Whole => u64::MAX,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Thousands => "1000-row transactions",
            Self::Singles => "single-row transactions",
            Self::Whole => "one transaction",
        })
    }
}

/// A database whose outbox holds rows, numbered from 0 in commit order, and slots older than them.
#[derive(Debug)]
pub struct Backlog {
    pub(crate) place: Place,
    /// How many rows.
    pub rows: u64,
    /// Everything is read once the commit that follows this position is.
    pub(crate) end: Lsn,
}

impl Backlog {
    /// Writes `rows` rows in transactions of `shape`.
    pub(crate) async fn write(
        servers: &Servers,
        place: Place,
        shape: Shape,
        rows: u64,
    ) -> anyhow::Result<Self> {
        let mut client = servers.client(&place.database).await?;
        client.batch_execute("set synchronous_commit = off").await?;
        // The last row is the mark, in a transaction of its own.
        let before = rows.saturating_sub(1);
        match shape {
            Shape::Thousands | Shape::Whole => {
                copy(&mut client, &place.topic, before, shape).await?
            }
            Shape::Singles => {
                client
                    .batch_execute(&loop_script(&place.topic, before))
                    .await?
            }
        }
        let end = mark(&mut client, &place.topic, before).await?;
        client
            .batch_execute("checkpoint")
            .await
            .context("no checkpoint")?;
        Ok(Self { place, rows, end })
    }

    /// Drops it.
    ///
    /// # Errors
    /// When a server refuses.
    pub async fn clear(self, servers: &Servers) -> anyhow::Result<()> {
        servers.clear_place(&self.place).await
    }
}

async fn copy(client: &mut Client, topic: &str, rows: u64, shape: Shape) -> anyhow::Result<()> {
    let outbox = Outbox::new();
    let mut next = 0;
    while next < rows {
        let end = rows.min(next.saturating_add(shape.rows_per_transaction()));
        let tx = client.transaction().await?;
        while next < end {
            let to = end.min(next + COPY_ROWS);
            let messages = (next..to).map(|number| message(topic, number));
            outbox.enqueue_all(&tx, messages).await?;
            next = to;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// The same row as [`message`], by the server itself: a round trip for each would take minutes.
fn loop_script(topic: &str, rows: u64) -> String {
    let filler = PAYLOAD_BYTES - NUMBER_DIGITS;
    format!(
        "do $script$ begin
             for number in 0..{rows}::bigint - 1 loop
                 insert into outbox.message (destination, key, type, content_type, payload)
                 values ('{topic}', 'customer-' || lpad((number % {KEYS})::text, 4, '0'),
                         'OrderPlaced', 'application/json',
                         convert_to(lpad(number::text, {NUMBER_DIGITS}, '0')
                                    || repeat('x', {filler}), 'UTF8'));
                 commit;
             end loop;
         end $script$"
    )
}

/// The last row. The position is taken between its INSERT and its COMMIT, so that nothing else has
/// to follow for a reader to get past it.
async fn mark(client: &mut Client, topic: &str, number: u64) -> anyhow::Result<Lsn> {
    let tx = client.transaction().await?;
    // Everything before it becomes readable with it: the walsender reads what is flushed.
    tx.batch_execute("set local synchronous_commit = on")
        .await?;
    Outbox::new().enqueue(&tx, message(topic, number)).await?;
    let row = tx
        .query_one("select pg_current_wal_insert_lsn()::text", &[])
        .await?;
    tx.commit().await?;
    let end: String = row.try_get(0)?;
    end.parse().with_context(|| format!("{end:?} is no LSN"))
}

/// A row's payload.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    let mut payload = format!("{number:0NUMBER_DIGITS$}").into_bytes();
    payload.resize(PAYLOAD_BYTES, b'x');
    payload
}

fn message(topic: &str, number: u64) -> Message {
    Message::new(topic, "OrderPlaced")
        .key(format_args!("customer-{:04}", number % KEYS))
        .bytes(payload(number))
        .content_type("application/json")
}
