use std::time::Duration;

use outbox_core::SystemId;
use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::schema::SchemaName;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::columns::{column, unreadable};
use super::{Presence, Progress, RequestError, Values};
use crate::config::Settings;
use crate::control::{TAKE_TURN, connect, name_lock_holders, within};

/// The longest a statement may take on the server: one that counts reads the whole table.
const STATEMENT_MAX: Duration = Duration::from_secs(60);

/// The longest it may wait for a lock: a step of the relay, or another operator's request.
const LOCK_MAX: Duration = Duration::from_secs(30);

/// And then for its answer to arrive.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// So many relays are named when there is none of the configured name.
const RELAYS_NAMED_MAX: i64 = 10;

/// A connection, and whose messages it is about.
pub(crate) struct Session {
    client: Client,
    schema: SchemaName,
    relay: String,
    slot: String,
    /// The cluster that is asked: messages of another's log cannot be replayed by its relay.
    system_id: String,
}

impl Session {
    /// Connects as the configuration says, under this name.
    ///
    /// # Errors
    /// [`RequestError::NoSuchRelay`] when nobody has heard of the configured relay.
    pub(crate) async fn open(
        settings: &Settings,
        application_name: &str,
    ) -> Result<Self, RequestError> {
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
        let session = Self {
            client,
            schema: settings.schema.clone(),
            relay: settings.relay.clone(),
            slot: settings.slot(),
            system_id: system_id.to_string(),
        };
        session.require_known().await?;
        Ok(session)
    }

    /// A mistyped name would find nothing, and look like an all-clear.
    async fn require_known(&self) -> Result<(), RequestError> {
        const DOING: &str = "looking for the relay";
        let sql = "select exists (select from {schema}.relay where name = $1)
                          or exists (select from {schema}.parked where relay = $1) as is_known,
                          array(select name from {schema}.relay order by name limit $2) as others";
        let row = self
            .row(DOING, sql, &[&self.relay, &RELAYS_NAMED_MAX])
            .await?;
        if column(&row, "is_known", DOING)? {
            return Ok(());
        }
        Err(RequestError::NoSuchRelay {
            relay: self.relay.clone(),
            others: column(&row, "others", DOING)?,
        })
    }

    /// Whose messages these are.
    pub(crate) fn relay(&self) -> &str {
        &self.relay
    }

    /// The cluster that is asked.
    pub(crate) fn system_id(&self) -> &str {
        &self.system_id
    }

    /// The relay's slot.
    pub(crate) fn slot(&self) -> &str {
        &self.slot
    }

    /// Whether a relay runs, by whether anyone reads from its slot.
    pub(crate) async fn presence(&self) -> Result<Presence, SourceFailure> {
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
    pub(crate) fn values(&self) -> Values {
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

    /// Writes a request in a transaction: waits for the turn to write one, and keeps it until the
    /// transaction ends. Meanwhile the relay decides nothing about a key, nobody else chooses, and the
    /// relay is not removed. `write` says which request it wrote; if none, nothing is kept.
    ///
    /// # Errors
    /// Nothing is kept then, but for [`RequestError::InDoubt`]. A failure for want of a lock names who
    /// holds it.
    pub(crate) async fn write_request<T>(
        &self,
        progress: &Progress,
        write: impl AsyncFnOnce() -> Result<(Option<Uuid>, T), RequestError>,
    ) -> Result<T, RequestError> {
        progress.go_on()?;
        tokio::select! {
            // The server forgets the transaction with the connection, whose process ends now.
            () = progress.interrupted() => return Err(RequestError::Interrupted),
            begun = self.begin_request() => self.or_give_up(begun).await?,
        }
        let written = write().await;
        let (request, written) = self.or_give_up(written).await?;
        let Some(request) = request else {
            self.control("ending a request", "rollback").await?;
            return Ok(written);
        };
        self.or_give_up(progress.go_on()).await?;
        let committed = self.control("committing a request", "commit").await;
        let committed = committed.map_err(|failure| match failure.kind {
            FailureKind::Unreachable | FailureKind::ServerShutdown => {
                RequestError::InDoubt { request, failure }
            }
            _ => RequestError::Database(failure),
        });
        self.or_give_up(committed).await?;
        Ok(written)
    }

    async fn begin_request(&self) -> Result<(), RequestError> {
        const DOING: &str = "waiting for the relay's turn to end";
        // Each statement sees what is committed when it begins, whatever the role's default is.
        let begin = "begin isolation level read committed";
        self.control("beginning a request", begin).await?;
        let schema = self.schema.quoted();
        self.rows(DOING, TAKE_TURN, &[&self.relay, &schema]).await?;
        let sql = "select from {schema}.relay where name = $1";
        let relay = self.rows(DOING, sql, &[&self.relay]).await?;
        if relay.is_empty() {
            return Err(RequestError::NoRelay(self.relay.clone()));
        }
        // Within the turn: the relay is not removed meanwhile, and its slot with it.
        if self.presence().await? == Presence::NoSlot {
            let slot = self.slot.clone();
            return Err(RequestError::NoSlot { slot });
        }
        Ok(())
    }

    /// What was answered; after an error the transaction is over.
    async fn or_give_up<T>(&self, answer: Result<T, RequestError>) -> Result<T, RequestError> {
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // Where the connection is gone, the server has done that already.
        let _ = self.control("giving a request up", "rollback").await;
        Err(match error {
            RequestError::Database(failure) => {
                let of = (&self.schema, self.relay.as_str());
                name_lock_holders(&self.client, of, failure).await.into()
            }
            error => error,
        })
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

    /// A statement of the session, or of its transaction.
    async fn control(&self, doing: &str, sql: &str) -> Result<(), SourceFailure> {
        within(ANSWER_MAX, doing, self.client.batch_execute(sql)).await
    }
}
