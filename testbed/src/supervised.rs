//! The supervisor of this process, started with the first server.

use std::sync::{Mutex, OnceLock, PoisonError};

use testbed_supervisor::Supervisor;

use crate::error::Error;

static SUPERVISOR: OnceLock<Supervisor> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// The supervisor that owns everything this process starts.
pub(crate) fn supervisor() -> Result<&'static Supervisor, Error> {
    if let Some(supervisor) = SUPERVISOR.get() {
        return Ok(supervisor);
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(supervisor) = SUPERVISOR.get() {
        return Ok(supervisor);
    }
    let supervisor = Supervisor::start()?;
    Ok(SUPERVISOR.get_or_init(|| supervisor))
}
