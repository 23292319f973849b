use std::collections::BTreeMap;

use outbox_core::relay::SourceFailure;
use outbox_core::schema::SchemaName;
use serde::Serialize;
use tokio_postgres::Client;

use super::connection::bounded;
use super::failure_of;

/// What is set aside and waits, for an operator or for the relay to come to a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Waiting {
    /// Messages, by why they were set aside.
    pub(crate) messages: BTreeMap<String, i64>,
    /// Since when the one waits that was set aside first, in seconds.
    pub(crate) oldest_age_seconds: Option<f64>,
    /// Requests that are not done.
    pub(crate) requests: i64,
}

impl Waiting {
    /// Reads it, of one relay.
    pub(crate) async fn read(
        client: &Client,
        schema: &SchemaName,
        relay: &str,
    ) -> Result<Self, SourceFailure> {
        const COUNTING: &str = "counting what was set aside";
        let failed = |error| failure_of(&error, COUNTING);
        let sql = "select reason, count(*),
                          extract(epoch from clock_timestamp() - min(parked_at))::float8
                   from {schema}.parked
                   where relay = $1 and state in ('waiting', 'replaying') group by reason";
        let sql = sql.replace("{schema}", &schema.quoted());
        let rows = bounded(COUNTING, client.query(&sql, &[&relay])).await?;
        let mut waiting = Self::default();
        for row in &rows {
            let age: f64 = row.try_get(2).map_err(failed)?;
            let oldest = waiting
                .oldest_age_seconds
                .map_or(age, |known| known.max(age));
            waiting.oldest_age_seconds = Some(oldest);
            let reason = row.try_get(0).map_err(failed)?;
            let count = row.try_get(1).map_err(failed)?;
            waiting.messages.insert(reason, count);
        }
        let sql = "select count(*) from {schema}.request where relay = $1 and state <> 'done'";
        let sql = sql.replace("{schema}", &schema.quoted());
        let row = bounded(COUNTING, client.query_one(&sql, &[&relay])).await?;
        waiting.requests = row.try_get(0).map_err(failed)?;
        Ok(waiting)
    }

    /// How many messages.
    pub(crate) fn count(&self) -> i64 {
        self.messages.values().sum()
    }
}
