use std::time::Duration;

use outbox_core::relay::{FailureKind, SourceFailure};
use tokio_postgres::{Client, NoTls};

use super::failure_of;
use crate::source::connection::Address;

/// The longest one host may take to accept a connection, unless `connect_timeout` says otherwise.
const HOST_MAX: Duration = Duration::from_secs(5);

/// How long a connection may take to be made altogether, for each host: a name may stand for
/// several addresses, and whoever accepts may still be silent afterwards.
const TRIES_PER_HOST: u32 = 3;

/// How long what we sent may stay unacknowledged, unless `tcp_user_timeout` says otherwise: the
/// kernel's own quarter of an hour would keep a relay on a server that is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// After how long without traffic the kernel asks the server whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// The longest any statement of ours may take on the server, and then half as long again for its
/// answer to arrive.
const STATEMENT_MAX: Duration = Duration::from_secs(10);

/// Opens a connection whose statements are bounded, and runs it until `on_end` is called.
pub(crate) async fn connect(
    address: &Address,
    application_name: &str,
    on_end: impl FnOnce() + Send + 'static,
) -> Result<Client, SourceFailure> {
    let mut config = address.config();
    config.application_name(application_name);
    let host_max = config.get_connect_timeout().copied().unwrap_or(HOST_MAX);
    config.connect_timeout(host_max);
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
    }
    config.keepalives_idle(KEEPALIVE_IDLE);
    config.keepalives_interval(KEEPALIVE_IDLE);
    let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
    let tries = TRIES_PER_HOST.saturating_mul(u32::try_from(hosts).unwrap_or(1).max(1));
    let connect_max = host_max.saturating_mul(tries);
    let connecting = tokio::time::timeout(connect_max, config.connect(NoTls)).await;
    let (client, connection) = connecting
        .map_err(|_| timed_out("connecting to PostgreSQL", connect_max))?
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
