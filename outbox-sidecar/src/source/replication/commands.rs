use std::str::FromStr;

use outbox_core::{Lsn, SystemId, TimelineHistory, TimelineId};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::source::connection::{Address, Socket, Startup, Wire, start};
use crate::source::quote::{quote_identifier, quote_literal};
use crate::source::{CREATING_SLOT, STARTING, SourceError};

/// The tag of CopyBothResponse, which the protocol crate does not know.
const COPY_BOTH_RESPONSE: u8 = b'W';

/// A replication connection that is ready for a command.
#[derive(Debug)]
pub(crate) struct Replication<S> {
    pub(super) wire: Wire<S>,
    /// The process that serves us: the holder of our slot once the copy runs.
    pub(crate) walsender_pid: i32,
}

/// What `IDENTIFY_SYSTEM` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdentifiedSystem {
    pub(crate) system_id: SystemId,
    pub(crate) timeline: TimelineId,
}

/// A slot that was just created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreatedSlot {
    /// Everything that commits later is in the slot's stream.
    pub(crate) consistent_point: Lsn,
    /// A snapshot of everything that committed earlier; lives until the next command.
    pub(crate) snapshot_name: String,
}

impl Replication<Socket> {
    /// Connects to the first host that answers, and authenticates.
    pub(crate) async fn connect(address: &Address, startup: &Startup) -> Result<Self, SourceError> {
        let socket = address.connect().await?;
        let is_unix_socket = socket.is_unix();
        let mut wire = Wire::new(socket);
        let walsender_pid = start(&mut wire, address, startup, is_unix_socket).await?;
        Ok(Self {
            wire,
            walsender_pid,
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Replication<S> {
    /// Who the server is, and how far its log goes.
    pub(crate) async fn identify_system(&mut self) -> Result<IdentifiedSystem, SourceError> {
        let doing = "identifying the server";
        let row = first_row(self.wire.query("IDENTIFY_SYSTEM", doing).await?, doing)?;
        Ok(IdentifiedSystem {
            system_id: SystemId(parsed(row.first(), doing)?),
            timeline: TimelineId(parsed(row.get(1), doing)?),
        })
    }

    /// The ancestors of a timeline; the first one has none.
    pub(crate) async fn timeline_history(
        &mut self,
        timeline: TimelineId,
    ) -> Result<TimelineHistory, SourceError> {
        if timeline <= TimelineId(1) {
            return Ok(TimelineHistory::default());
        }
        let doing = "reading the timeline history";
        let sql = format!("TIMELINE_HISTORY {timeline}");
        let row = first_row(self.wire.query(&sql, doing).await?, doing)?;
        let text: String = parsed(row.get(1), doing)?;
        TimelineHistory::parse(&text).map_err(|error| SourceError::Protocol(error.to_string()))
    }

    /// Creates a logical slot for pgoutput and keeps its snapshot open until the next command.
    pub(crate) async fn create_slot(
        &mut self,
        name: &str,
        failover: bool,
    ) -> Result<CreatedSlot, SourceError> {
        let failover = if failover { ", FAILOVER true" } else { "" };
        let sql = format!(
            "CREATE_REPLICATION_SLOT {} LOGICAL pgoutput (SNAPSHOT 'export'{failover})",
            quote_identifier(name)
        );
        let row = first_row(self.wire.query(&sql, CREATING_SLOT).await?, CREATING_SLOT)?;
        Ok(CreatedSlot {
            consistent_point: parsed(row.get(1), CREATING_SLOT)?,
            snapshot_name: parsed(row.get(2), CREATING_SLOT)?,
        })
    }

    /// Starts the copy where the slot stands. Once it returns, the slot is ours.
    pub(crate) async fn start_replication(
        &mut self,
        slot: &str,
        publication: &str,
    ) -> Result<(), SourceError> {
        // Protocol 1 without streaming: only what has committed arrives, in commit order.
        let sql = format!(
            "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names {}, \
             binary 'true', messages 'true')",
            quote_identifier(slot),
            quote_literal(&quote_identifier(publication))
        );
        self.wire.send_query(&sql, STARTING).await?;
        loop {
            match self.wire.frame(STARTING)? {
                Some(COPY_BOTH_RESPONSE) => {
                    self.wire.skip_frame();
                    return Ok(());
                }
                Some(_) => {
                    let message = self.wire.next_buffered(STARTING)?;
                    if let Some(message) = message {
                        return Err(SourceError::Protocol(format!(
                            "{STARTING}: the server answered with {message} instead of a copy"
                        )));
                    }
                }
                None => {
                    self.wire
                        .read_more()
                        .await
                        .map_err(|source| SourceError::Io {
                            doing: STARTING,
                            source,
                        })?;
                }
            }
        }
    }
}

fn first_row(
    rows: Vec<Vec<Option<String>>>,
    doing: &'static str,
) -> Result<Vec<Option<String>>, SourceError> {
    rows.into_iter()
        .next()
        .ok_or_else(|| SourceError::Protocol(format!("{doing}: the server answered without a row")))
}

fn parsed<T: FromStr>(
    column: Option<&Option<String>>,
    doing: &'static str,
) -> Result<T, SourceError> {
    column
        .and_then(|value| value.as_deref())
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            SourceError::Protocol(format!("{doing}: the answer {column:?} is no answer"))
        })
}
