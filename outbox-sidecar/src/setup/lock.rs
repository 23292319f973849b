use std::time::Duration;

use outbox_core::schema::SchemaName;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::SetupError;
use crate::source::quote::quote_literal;

/// How long to wait for the lock: a process that has just ended keeps it until the server notices.
const LOCK_MAX: Duration = Duration::from_secs(5);

/// Lets one `init` or `remove` of a relay run at a time. The lock ends with the connection.
pub(super) async fn lock_relay(
    client: &Client,
    schema: &SchemaName,
    relay: &str,
) -> Result<(), SetupError> {
    let name = format!("outbox relay {}.{relay}", schema.as_str());
    let sql = format!(
        "begin; \
         set local lock_timeout = {}; \
         select pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended({}, 0)); \
         commit",
        LOCK_MAX.as_millis(),
        quote_literal(&name)
    );
    let locked = client.batch_execute(&sql).await;
    locked.map_err(|source| match source.code() {
        Some(&SqlState::LOCK_NOT_AVAILABLE) => SetupError::Refused(format!(
            "another init or remove of relay {relay} is running: wait for its end"
        )),
        _ => SetupError::sql("locking the relay's set-up", source),
    })
}
