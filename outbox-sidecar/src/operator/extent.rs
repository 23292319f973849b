use outbox_core::relay::SourceFailure;
use tokio_postgres::Row;

use super::columns::{column, count};

/// How much an operator has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) messages: u64,
    /// The bytes of their payloads.
    pub(crate) payload_bytes: u64,
    pub(crate) keys: u64,
    /// The destinations with the most of them.
    pub(crate) destinations: Vec<(String, u64)>,
    pub(crate) destination_count: u64,
}

impl Extent {
    /// So many destinations are named; all are counted.
    pub(crate) const NAMED_MAX: usize = 10;

    /// Reads the columns `messages`, `payload_bytes` and `keys`.
    pub(crate) fn read(row: &Row, doing: &str) -> Result<Self, SourceFailure> {
        Ok(Self {
            messages: count(row, "messages", doing)?,
            payload_bytes: count(row, "payload_bytes", doing)?,
            keys: count(row, "keys", doing)?,
            ..Self::default()
        })
    }

    /// Adds a row for each destination that is named: the columns `destination`, `messages`, and
    /// `destinations`, which counts them all.
    pub(crate) fn add_destinations(
        &mut self,
        rows: &[Row],
        doing: &str,
    ) -> Result<(), SourceFailure> {
        for row in rows {
            self.destination_count = count(row, "destinations", doing)?;
            let named = (
                column(row, "destination", doing)?,
                count(row, "messages", doing)?,
            );
            self.destinations.push(named);
        }
        Ok(())
    }
}
