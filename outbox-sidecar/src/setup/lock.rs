use outbox_core::schema::SchemaName;
use tokio_postgres::Client;

use super::SetupError;

/// Lets one `init` or `remove` of a relay run at a time. The lock ends with the connection.
pub(super) async fn lock_relay(
    client: &Client,
    schema: &SchemaName,
    relay: &str,
) -> Result<(), SetupError> {
    let name = format!("outbox relay {}.{relay}", schema.as_str());
    let sql = "select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended($1, 0))";
    let row = client
        .query_one(sql, &[&name])
        .await
        .map_err(|source| SetupError::sql("locking the relay's set-up", source))?;
    match row.try_get(0) {
        Ok(true) => Ok(()),
        Ok(false) => Err(SetupError::Refused(format!(
            "another init or remove of relay {relay} is running: wait for its end"
        ))),
        Err(source) => Err(SetupError::sql("locking the relay's set-up", source)),
    }
}
