use std::time::Duration;

use outbox_core::relay::{FailureKind, SourceFailure};
use tokio_postgres::{Client, Config, NoTls};

use super::failure_of;

/// The longest a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The longest any statement of ours may take on the server, and then half as long again for its
/// answer to arrive.
const STATEMENT_MAX: Duration = Duration::from_secs(10);

/// Opens a connection whose statements are bounded, and runs it until `on_end` is called.
pub(crate) async fn connect(
    config: &Config,
    application_name: &str,
    on_end: impl FnOnce() + Send + 'static,
) -> Result<Client, SourceFailure> {
    let mut config = config.clone();
    config.application_name(application_name);
    config.connect_timeout(CONNECT_MAX);
    let connecting = tokio::time::timeout(CONNECT_MAX, config.connect(NoTls)).await;
    let (client, connection) = connecting
        .map_err(|_| timed_out("connecting to PostgreSQL", CONNECT_MAX))?
        .map_err(|error| failure_of(&error, "connecting to PostgreSQL"))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection for SQL ended");
        }
        on_end();
    });
    let limits = format!(
        "set statement_timeout = {0}; set lock_timeout = {0}; \
         set idle_in_transaction_session_timeout = {0}",
        STATEMENT_MAX.as_millis()
    );
    bounded("setting limits", client.batch_execute(&limits)).await?;
    Ok(client)
}

/// Waits for a statement's answer, but not for ever.
pub(super) async fn bounded<T>(
    doing: &str,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SourceFailure> {
    let answer_max = STATEMENT_MAX + STATEMENT_MAX / 2;
    match tokio::time::timeout(answer_max, statement).await {
        Ok(answer) => answer.map_err(|error| failure_of(&error, doing)),
        Err(_) => Err(timed_out(doing, answer_max)),
    }
}

fn timed_out(doing: &str, limit: Duration) -> SourceFailure {
    SourceFailure {
        kind: FailureKind::Unreachable,
        message: format!("{doing}: no answer within {} s", limit.as_secs()),
    }
}
