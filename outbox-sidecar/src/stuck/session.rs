use std::time::Duration;

use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::schema::SchemaName;
use outbox_core::{Position, SystemId, Timestamp};
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Row};

use super::StuckError;
use super::filter::Values;
use crate::config::Settings;
use crate::control::{TAKE_TURN, connect, failure_of, name_lock_holders, within};

/// The longest a statement may take on the server: one that counts reads the whole table.
const STATEMENT_MAX: Duration = Duration::from_secs(60);

/// The longest it may wait for a lock: a step of the relay, or another operator's request.
const LOCK_MAX: Duration = Duration::from_secs(30);

/// And then for its answer to arrive.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// A connection, and whose messages it is about.
pub(crate) struct Session {
    client: Client,
    schema: SchemaName,
    pub(super) relay: String,
    slot: String,
    /// The cluster that is asked: messages of another's log cannot be replayed by its relay.
    pub(super) system_id: String,
}

/// Whether a relay runs that carries requests out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// A relay reads from the slot.
    Running,
    /// Nobody does.
    Away,
    /// There is no slot.
    NoSlot,
}

impl Session {
    /// Connects as the configuration says.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, StuckError> {
        Self::open_as(settings, "outbox-sidecar stuck").await
    }

    /// The same, under this name.
    pub(crate) async fn open_as(
        settings: &Settings,
        application_name: &str,
    ) -> Result<Self, StuckError> {
        let client = connect(&settings.address, application_name, || {}).await?;
        let limit = format!(
            "set statement_timeout = {}; set lock_timeout = {}",
            STATEMENT_MAX.as_millis(),
            LOCK_MAX.as_millis()
        );
        within(ANSWER_MAX, "setting limits", client.batch_execute(&limit)).await?;
        let doing = "reading the cluster's identity";
        let sql = "select system_identifier from pg_catalog.pg_control_system()";
        let row = within(ANSWER_MAX, doing, client.query_one(sql, &[])).await?;
        // The server keeps it without a sign.
        let system_id = SystemId(column::<i64>(&row, "system_identifier", doing)?.cast_unsigned());
        Ok(Self {
            client,
            schema: settings.schema.clone(),
            relay: settings.relay.clone(),
            slot: settings.slot(),
            system_id: system_id.to_string(),
        })
    }

    /// Whose messages these are.
    pub(crate) fn relay(&self) -> &str {
        &self.relay
    }

    /// The relay's slot.
    pub(crate) fn slot(&self) -> &str {
        &self.slot
    }

    /// Whether a relay runs, by whether anyone reads from its slot.
    pub(crate) async fn presence(&self) -> Result<Presence, StuckError> {
        let doing = "reading the slot";
        let sql = "select active from pg_catalog.pg_replication_slots where slot_name = $1";
        let rows = self.rows(doing, sql, &[&self.slot]).await?;
        match rows.first() {
            None => Ok(Presence::NoSlot),
            Some(row) if column(row, "active", doing)? => Ok(Presence::Running),
            Some(_) => Ok(Presence::Away),
        }
    }

    /// The values of a statement about this relay's messages in this cluster's log: `$1` and `$2`.
    pub(super) fn values(&self) -> Values {
        let mut values = Values::default();
        values.add(self.relay.clone());
        values.add(self.system_id.clone());
        values
    }

    /// Runs a statement in which `{schema}` stands for the outbox's.
    pub(crate) async fn rows(
        &self,
        doing: &str,
        template: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SourceFailure> {
        let sql = template.replace("{schema}", &self.schema.quoted());
        within(ANSWER_MAX, doing, self.client.query(&sql, values)).await
    }

    /// The same, of a statement that answers with one row.
    pub(crate) async fn row(
        &self,
        doing: &str,
        template: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, SourceFailure> {
        let rows = self.rows(doing, template, values).await?;
        rows.into_iter()
            .next()
            .ok_or_else(|| unreadable(doing, "an answer without a row"))
    }

    /// Runs a statement that changes rows, and says how many.
    pub(crate) async fn execute(
        &self,
        doing: &str,
        template: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, SourceFailure> {
        let sql = template.replace("{schema}", &self.schema.quoted());
        within(ANSWER_MAX, doing, self.client.execute(&sql, values)).await
    }

    /// Waits for the turn to write a request, and takes it until the transaction ends: meanwhile the relay
    /// decides nothing about a key, nobody else chooses, and the relay is not removed.
    pub(crate) async fn take_turn(&self) -> Result<(), StuckError> {
        const DOING: &str = "waiting for the relay's turn to end";
        let schema = self.schema.quoted();
        self.rows(DOING, TAKE_TURN, &[&self.relay, &schema]).await?;
        let sql = "select from {schema}.relay where name = $1";
        let relay = self.rows(DOING, sql, &[&self.relay]).await?;
        if relay.is_empty() {
            return Err(StuckError::NoRelay(self.relay.clone()));
        }
        Ok(())
    }

    /// Adds to a failure for want of a lock who holds it. The transaction that failed must be over.
    pub(super) async fn name_lock_holders<T>(
        &self,
        answer: Result<T, SourceFailure>,
    ) -> Result<T, SourceFailure> {
        name_lock_holders(&self.client, (&self.schema, &self.relay), answer).await
    }

    /// The same, of a statement that may take so long.
    pub(crate) async fn execute_for(
        &self,
        statement_max: Duration,
        doing: &str,
        template: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, SourceFailure> {
        let sql = template.replace("{schema}", &self.schema.quoted());
        self.allow(statement_max).await?;
        let answer_max = statement_max + (ANSWER_MAX - STATEMENT_MAX);
        let done = within(answer_max, doing, self.client.execute(&sql, values)).await?;
        self.allow(STATEMENT_MAX).await?;
        Ok(done)
    }

    /// Runs a statement that may take so long.
    pub(crate) async fn rows_for(
        &self,
        statement_max: Duration,
        doing: &str,
        template: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SourceFailure> {
        let sql = template.replace("{schema}", &self.schema.quoted());
        self.allow(statement_max).await?;
        let answer_max = statement_max + (ANSWER_MAX - STATEMENT_MAX);
        let rows = within(answer_max, doing, self.client.query(&sql, values)).await?;
        self.allow(STATEMENT_MAX).await?;
        Ok(rows)
    }

    async fn allow(&self, statement_max: Duration) -> Result<(), SourceFailure> {
        let limit = format!("set statement_timeout = {}", statement_max.as_millis());
        self.control("setting limits", &limit).await
    }

    /// `begin`, `commit` or `rollback`.
    pub(crate) async fn control(&self, doing: &str, sql: &str) -> Result<(), SourceFailure> {
        within(ANSWER_MAX, doing, self.client.batch_execute(sql)).await
    }
}

/// A column of an answer.
pub(crate) fn column<'a, T: FromSql<'a>>(
    row: &'a Row,
    name: &str,
    doing: &str,
) -> Result<T, SourceFailure> {
    row.try_get(name).map_err(|error| failure_of(&error, doing))
}

/// A number that cannot be negative.
pub(crate) fn count(row: &Row, name: &str, doing: &str) -> Result<u64, SourceFailure> {
    let count: i64 = column(row, name, doing)?;
    u64::try_from(count).map_err(|_| unreadable(doing, &format!("{name} = {count}")))
}

/// The columns `lsn`, as text, and `index`.
pub(super) fn position(row: &Row, doing: &str) -> Result<Position, SourceFailure> {
    let lsn: String = column(row, "lsn", doing)?;
    let index: i64 = column(row, "index", doing)?;
    let read = lsn.parse().ok().zip(u32::try_from(index).ok());
    let (commit_lsn, index) =
        read.ok_or_else(|| unreadable(doing, &format!("position {lsn}:{index}")))?;
    Ok(Position { commit_lsn, index })
}

/// A time, in microseconds since 1970.
pub(crate) fn time(row: &Row, name: &str, doing: &str) -> Result<Option<Timestamp>, SourceFailure> {
    let us: Option<i64> = column(row, name, doing)?;
    Ok(us.map(Timestamp::from_unix_us))
}

pub(super) fn unreadable(doing: &str, what: &str) -> SourceFailure {
    SourceFailure {
        kind: FailureKind::Protocol,
        message: format!("{doing}: {what} cannot be"),
    }
}
