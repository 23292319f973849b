//! A connection for those who look and publish nothing, with a thread of its own.

use outbox_core::sink::AcquireError;
use tokio::runtime::{Builder, Runtime};

use super::connection::Connection;
use super::settings::{StreamSettings, StreamSettingsError};

/// Connects to the first broker that answers, as the relay would. Frames of so many bytes may come.
pub(super) fn open_to_look(
    settings: &StreamSettings,
    incoming_bytes_max: usize,
) -> Result<(Connection, Runtime), AcquireError> {
    let unusable = |error: StreamSettingsError| AcquireError::Fatal(error.to_string());
    let addresses = settings.addresses().map_err(unusable)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("rabbitmq-stream")
        .enable_all()
        .build()
        .map_err(|error| AcquireError::Fatal(error.to_string()))?;
    let opening = Connection::open_for(settings, &addresses, incoming_bytes_max);
    let connection = runtime.block_on(opening)?;
    Ok((connection, runtime))
}
