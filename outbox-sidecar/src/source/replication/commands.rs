use std::str::FromStr;
use std::time::Duration;

use outbox_core::{Lsn, SystemId, TimelineHistory, TimelineId};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::source::connection::{ANSWER_MAX, Address, Login, Server, Socket, Startup, Wire, start};
use crate::source::quote::{quote_identifier, quote_replication_literal};
use crate::source::{CREATING_SLOT, STARTING, SourceError};

/// The tag of CopyBothResponse, which the protocol crate does not know.
const COPY_BOTH_RESPONSE: u8 = b'W';

/// The longest a slot may take to be created: the server waits until every transaction that was
/// open then has ended.
const CREATE_SLOT_MAX: Duration = Duration::from_secs(600);

/// A replication connection that is ready for a command.
#[derive(Debug)]
pub(crate) struct Replication<S> {
    pub(super) wire: Wire<S>,
    /// What serves us.
    pub(crate) server: Server,
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
    /// Connects to the first host that answers, and authenticates. Of several hosts a standby is
    /// passed over: nothing can be relayed from it.
    pub(crate) async fn connect(address: &Address, startup: &Startup) -> Result<Self, SourceError> {
        let mut failure = SourceError::no_host();
        let mut standby = None;
        for host in address.hosts() {
            let connected = address.enter(host, |socket| async move {
                let login = address.login(host, &socket);
                Self::open(Wire::new(socket), address, startup, &login).await
            });
            match connected.await {
                Ok(connection) if connection.server.is_standby => standby = Some(connection),
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        standby.ok_or(failure)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Replication<S> {
    /// Starts the protocol on a stream of any kind.
    pub(crate) async fn open(
        mut wire: Wire<S>,
        address: &Address,
        startup: &Startup,
        login: &Login,
    ) -> Result<Self, SourceError> {
        let server = start(&mut wire, address, startup, login).await?;
        Ok(Self { wire, server })
    }

    /// Who the server is, and how far its log goes.
    pub(crate) async fn identify_system(&mut self) -> Result<IdentifiedSystem, SourceError> {
        let doing = "identifying the server";
        let row = first_row(
            self.wire
                .query("IDENTIFY_SYSTEM", doing, ANSWER_MAX)
                .await?,
            doing,
        )?;
        Ok(IdentifiedSystem {
            system_id: SystemId(parsed(row.first(), doing)?),
            timeline: TimelineId(parsed(row.get(1), doing)?),
        })
    }

    /// Whether the process that serves us is the one that was announced. Poolers announce one of
    /// their own making.
    pub(crate) async fn serves_directly(&mut self) -> Result<bool, SourceError> {
        let doing = "asking who serves us";
        let sql = "select pg_catalog.pg_backend_pid()";
        let row = first_row(self.wire.query(sql, doing, ANSWER_MAX).await?, doing)?;
        let process_id: i32 = parsed(row.first(), doing)?;
        Ok(process_id == self.server.process_id)
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
        let row = first_row(self.wire.query(&sql, doing, ANSWER_MAX).await?, doing)?;
        let text: String = parsed(row.get(1), doing)?;
        TimelineHistory::parse(&text).map_err(|error| SourceError::Nonsense(error.to_string()))
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
        let row = first_row(
            self.wire
                .query(&sql, CREATING_SLOT, CREATE_SLOT_MAX)
                .await?,
            CREATING_SLOT,
        )?;
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
        if self.server.is_standby {
            return Err(SourceError::InRecovery);
        }
        // Protocol 1 without streaming: only what has committed arrives, in commit order.
        let sql = format!(
            "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names {}, \
             binary 'true', messages 'true')",
            quote_identifier(slot),
            quote_replication_literal(&quote_identifier(publication))
        );
        tokio::time::timeout(ANSWER_MAX, self.answer_of_start(&sql))
            .await
            .map_err(|_| SourceError::TimedOut {
                doing: STARTING,
                limit_s: ANSWER_MAX.as_secs(),
            })?
    }

    async fn answer_of_start(&mut self, sql: &str) -> Result<(), SourceError> {
        self.wire.send_query(sql, STARTING).await?;
        loop {
            match self.wire.frame(STARTING)? {
                Some(COPY_BOTH_RESPONSE) => {
                    self.wire.skip_frame();
                    return Ok(());
                }
                Some(_) => {
                    let message = self.wire.next_buffered(STARTING)?;
                    if let Some(message) = message {
                        return Err(SourceError::Nonsense(format!(
                            "{STARTING}: the server answered with {message} instead of a copy"
                        )));
                    }
                }
                None => self.wire.read_answer(STARTING).await?,
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
        .ok_or_else(|| SourceError::Nonsense(format!("{doing}: the server answered without a row")))
}

fn parsed<T: FromStr>(
    column: Option<&Option<String>>,
    doing: &'static str,
) -> Result<T, SourceError> {
    column
        .and_then(|value| value.as_deref())
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            SourceError::Nonsense(format!("{doing}: the answer {column:?} is no answer"))
        })
}
