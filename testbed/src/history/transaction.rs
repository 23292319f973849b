//! The shapes in which rows reach a table, and how one transaction of a shape ends.

use futures_util::SinkExt;
use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::error::Error;
use crate::history::writers::Written;

/// Parameters of one statement are limited; seven to a row stay far below.
const STATEMENT_ROWS_MAX: usize = 100;
const SAVEPOINT_ROWS: usize = 5;
const COLUMNS: &str = "(id, destination, key, type, content_type, payload, headers)";

/// How the rows of one transaction are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One row, without BEGIN.
    Single,
    /// A few rows, one statement each.
    Few,
    /// One INSERT of twenty rows.
    MultiRow,
    /// COPY of 200 rows: many of them share one LSN.
    Copy,
    /// A thousand rows.
    Thousand,
    /// Savepoints, every other one rolled back.
    Subtransactions,
    /// Rolled back as a whole.
    RolledBack,
}

impl Shape {
    /// With what weight of 200 each shape is chosen, and how many rows it has.
    const MIX: [(Self, u32, usize); 7] = [
        (Self::Single, 110, 1),
        (Self::Few, 30, 7),
        (Self::MultiRow, 20, 20),
        (Self::Copy, 8, 200),
        (Self::Thousand, 3, 1000),
        (Self::Subtransactions, 15, 30),
        (Self::RolledBack, 14, 10),
    ];

    pub(super) fn choose(random: &mut fastrand::Rng) -> (Self, usize) {
        let mut drawn = random.u32(0..Self::MIX.iter().map(|(_, weight, _)| weight).sum());
        for (shape, weight, rows) in Self::MIX {
            match drawn.checked_sub(weight) {
                Some(rest) => drawn = rest,
                None => return (shape, rows),
            }
        }
        (Self::Single, 1)
    }

    /// Whether the row of this number survives, if the transaction commits.
    pub(super) fn keeps(self, row: usize) -> bool {
        match self {
            Self::RolledBack => false,
            Self::Subtransactions => (row / SAVEPOINT_ROWS).is_multiple_of(2),
            _ => true,
        }
    }
}

/// How a transaction ended, as far as its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// As planned.
    Done,
    /// The connection was lost before COMMIT was sent.
    Lost,
    /// The connection was lost after COMMIT was sent: only the table knows.
    Unknown,
}

/// Writes the rows in one transaction.
///
/// An error is one of the test: the table is missing, a column has another type. A server that is
/// away is no error but an ending.
pub(super) async fn perform(
    client: &Client,
    table: &str,
    shape: Shape,
    rows: &[(Uuid, Written)],
) -> Result<Ending, Error> {
    if shape == Shape::Single {
        return ending(insert(client, table, rows).await, Ending::Unknown);
    }
    let before_commit = async {
        client.batch_execute("begin").await?;
        match shape {
            Shape::Copy => copy(client, table, rows).await?,
            Shape::MultiRow | Shape::Thousand => {
                for chunk in rows.chunks(STATEMENT_ROWS_MAX) {
                    insert(client, table, chunk).await?;
                }
            }
            Shape::Subtransactions => {
                for (number, chunk) in rows.chunks(SAVEPOINT_ROWS).enumerate() {
                    client.batch_execute("savepoint s").await?;
                    insert(client, table, chunk).await?;
                    let kept = shape.keeps(number * SAVEPOINT_ROWS);
                    let end = if kept {
                        "release s"
                    } else {
                        "rollback to s; release s"
                    };
                    client.batch_execute(end).await?;
                }
            }
            Shape::Single | Shape::Few | Shape::RolledBack => {
                for row in rows {
                    insert(client, table, std::slice::from_ref(row)).await?;
                }
            }
        }
        Ok::<(), tokio_postgres::Error>(())
    };
    match ending(before_commit.await, Ending::Lost)? {
        Ending::Done if shape == Shape::RolledBack => {
            ending(client.batch_execute("rollback").await, Ending::Lost)
        }
        Ending::Done => ending(client.batch_execute("commit").await, Ending::Unknown),
        lost => Ok(lost),
    }
}

fn ending(result: Result<(), tokio_postgres::Error>, when_lost: Ending) -> Result<Ending, Error> {
    match result {
        Ok(()) => Ok(Ending::Done),
        Err(error) if server_away(&error) => Ok(when_lost),
        Err(error) => Err(Error::because("a writer failed")(error)),
    }
}

/// Shut down, killed or unreachable, as opposed to: refused what we asked.
pub(super) fn server_away(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        // 57: shut down or starting up. 08: connection. 53: out of connections.
        Some(code) => ["57", "08", "53"]
            .iter()
            .any(|class| code.code().starts_with(class)),
        None => true,
    }
}

async fn insert(
    client: &Client,
    table: &str,
    rows: &[(Uuid, Written)],
) -> Result<(), tokio_postgres::Error> {
    let columns = 7;
    let tuples: Vec<String> = (0..rows.len())
        .map(|row| {
            let numbers = (1..=columns).map(|column| format!("${}", row * columns + column));
            format!("({})", numbers.collect::<Vec<_>>().join(","))
        })
        .collect();
    let headers = headers();
    let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(rows.len() * columns);
    for (id, row) in rows {
        parameters.extend_from_slice(&[id, &row.destination, &row.key]);
        parameters.extend_from_slice(&[&"Written", &"application/json", &row.payload, &headers]);
    }
    let statement = format!("insert into {table} {COLUMNS} values {}", tuples.join(","));
    client.execute(&statement, &parameters).await.map(drop)
}

async fn copy(
    client: &Client,
    table: &str,
    rows: &[(Uuid, Written)],
) -> Result<(), tokio_postgres::Error> {
    use std::fmt::Write;
    let mut text = String::new();
    for (id, row) in rows {
        let key = row.key.as_deref().unwrap_or("\\N");
        // Destinations and keys are the test's own, and hold nothing that COPY would take apart.
        let _ = write!(
            text,
            "{id}\t{}\t{key}\tWritten\tapplication/json\t",
            row.destination
        );
        match &row.payload {
            Some(payload) => {
                text.push_str("\\\\x");
                for byte in payload {
                    let _ = write!(text, "{byte:02x}");
                }
            }
            None => text.push_str("\\N"),
        }
        let _ = writeln!(text, "\t{}", headers());
    }
    let statement = format!("copy {table} {COLUMNS} from stdin");
    let sink = client
        .copy_in::<_, std::io::Cursor<Vec<u8>>>(&statement)
        .await?;
    futures_util::pin_mut!(sink);
    sink.send(std::io::Cursor::new(text.into_bytes())).await?;
    sink.finish().await.map(drop)
}

fn headers() -> serde_json::Value {
    json!({ "source": "testbed" })
}
