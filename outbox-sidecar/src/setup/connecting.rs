use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use outbox_core::relay::{FailureKind, SourceFailure};
use tokio_postgres::Client;

use super::SetupError;
use crate::control::connect;
use crate::source::connection::{Address, Startup};

/// How often a connection is tried again while the server is away: from 1 s, doubling, about a
/// minute in all when it refuses at once.
const CONNECT_RETRIES_MAX: usize = 5;

/// The time-out of the replication connection that makes the slot: it may be idle while rows that
/// are older are counted and moved.
const SETUP_TIMEOUT: Duration = Duration::from_secs(3600);

/// Connects, and waits a while for a server that is still starting: in a pod it often is.
pub(super) async fn connect_admin(
    address: &Address,
    say: &mut impl FnMut(&str),
) -> Result<Client, SetupError> {
    let attempt = || connect(address, "outbox-sidecar init", || {});
    let away = |failure: &SourceFailure| {
        matches!(
            failure.kind,
            FailureKind::Unreachable | FailureKind::ServerShutdown
        )
    };
    let delays = ExponentialBuilder::default()
        .with_jitter()
        .with_max_times(CONNECT_RETRIES_MAX);
    let client = attempt
        .retry(delays)
        .when(away)
        .notify(|failure, pause| {
            say(&format!(
                "PostgreSQL does not answer ({}): next try in {} s",
                failure.message,
                pause.as_secs_f32().ceil()
            ));
        })
        .await?;
    Ok(client)
}

/// How the replication connection introduces itself.
pub(super) fn startup(relay: &str) -> Startup {
    Startup {
        application_name: format!("outbox-sidecar init {relay}"),
        wal_sender_timeout: SETUP_TIMEOUT,
    }
}
