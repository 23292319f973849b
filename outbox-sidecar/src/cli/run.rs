use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outbox_core::relay::{self, BatchLimits, Stop};
use tokio::signal::unix::{SignalKind, signal};

use super::CliError;
use crate::assembly::assemble;
use crate::config::{ConfigError, Settings};
use crate::control::{ControlSettings, MadeFor};
use crate::driver::{Driver, DriverSettings};
use crate::exit::ExitCode;
use crate::http::{Server, ServerState};
use crate::phantoms::PhantomReader;
use crate::source::connection::Startup;
use crate::source::replication::LaneSettings;
use crate::telemetry::{exporter, logs};

/// After how long without a word from us the server drops our walsender.
const WAL_SENDER_TIMEOUT: Duration = Duration::from_secs(4);

/// Runs the relay until it is asked to end or must stop.
pub(super) async fn execute(settings: Settings) -> Result<u8, CliError> {
    logs::start(&settings);
    let metrics = exporter::start()?;
    let sink = assemble(&settings)?;
    let driver = Driver::new(driver_settings(&settings)?, sink).map_err(CliError::Runtime)?;
    let state = ServerState {
        reports: driver.reports(),
        metrics,
        ready: settings.ready,
    };
    let server = Server::start(settings.listen, state)
        .await
        .map_err(|source| CliError::Listen {
            listen: settings.listen,
            source,
        })?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
    let asked = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let stop = driver.run(asked).await;
    server.shut_down().await;
    match stop {
        Stop::Drained => {
            tracing::info!("drained");
            Ok(ExitCode::Done.number())
        }
        stop => {
            tracing::error!(exit_code = stop.exit_code(), reason = %stop, "the relay has stopped");
            Err(CliError::Stopped(stop))
        }
    }
}

fn driver_settings(settings: &Settings) -> Result<DriverSettings, ConfigError> {
    let application_name = format!("outbox-sidecar/{}", settings.relay);
    Ok(DriverSettings {
        relay: relay::Settings {
            name: settings.relay.clone(),
            batch: BatchLimits {
                messages_max: settings
                    .sink
                    .batch_messages_max(settings.batch.messages_max),
                ..settings.batch
            },
            buffer_bytes_max: settings.buffer_bytes_max,
            stuck: settings.stuck,
            gone: settings.gone,
            attempt_max: settings.sink.attempt_max()?,
            retry: settings.retry,
            drain_max: settings.drain_max,
        },
        replication: LaneSettings {
            address: settings.address.clone(),
            startup: Startup {
                application_name: application_name.clone(),
                wal_sender_timeout: WAL_SENDER_TIMEOUT,
            },
            slot: settings.slot(),
            publication: settings.slot(),
            schema: settings.schema.clone(),
        },
        control: ControlSettings {
            address: settings.address.clone(),
            application_name,
            schema: settings.schema.clone(),
            relay: settings.relay.clone(),
            slot: settings.slot(),
            publication: settings.slot(),
            made_for: MadeFor::configured(settings),
            run: uuid::Uuid::now_v7(),
        },
        phantoms: PhantomReader::new(settings),
        seed: seed(),
    })
}

/// Differs between processes, so that relays of one name do not move in step.
fn seed() -> u64 {
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::from(clock.subsec_nanos()) ^ u64::from(std::process::id()) << 32 ^ clock.as_secs()
}
