//! Whose fault it is when a message cannot be handled, and what follows.

use std::error::Error;
use std::time::Duration;

use outbox_core::InboxError;

use crate::Stop;

/// The first pause after the database failed, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Why a message was not handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlingError {
    /// It is the message's own fault, so another try is no use: set it aside.
    #[error("the message is poison: {what}")]
    Poison {
        /// What is wrong with it.
        what: String,
    },
    /// Everything else: the database is away, restarts, ended one of two transactions that met. The
    /// same message may well succeed later.
    #[error("the database did not do its part")]
    Database {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl HandlingError {
    /// A message that nobody can handle.
    pub fn poison(what: impl Into<String>) -> Self {
        Self::Poison { what: what.into() }
    }
}

impl From<sqlx::Error> for HandlingError {
    /// Classes 22 and 23 are about the data: a number too large, a text that a constraint refuses.
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        if code.is_some_and(|code| code.starts_with("22") || code.starts_with("23")) {
            return Self::poison(error.to_string());
        }
        Self::Database {
            source: Box::new(error),
        }
    }
}

impl From<InboxError> for HandlingError {
    fn from(error: InboxError) -> Self {
        Self::Database {
            source: Box::new(error),
        }
    }
}

/// Runs `work` until it succeeds or turns out to be poison, with growing pauses in between; `None`
/// when the program was asked to end before that.
///
/// It has no last try: a message that is given up while the database is away would be lost, or stuck
/// in a dead-letter queue for nothing.
///
/// ```no_run
/// # async fn example(pool: sqlx::PgPool) -> std::io::Result<()> {
/// use outbox_examples::{HandlingError, Stop, until_handled};
///
/// let stop = Stop::on_sigterm()?;
/// let work = async || -> Result<(), HandlingError> {
///     sqlx::query("select 1").execute(&pool).await?;
///     Ok(())
/// };
/// match until_handled(&stop, work).await {
///     None => println!("asked to end"),
///     Some(Ok(())) => println!("acknowledge it"),
///     Some(Err(what)) => println!("set it aside: {what}"),
/// }
/// # Ok(())
/// # }
/// ```
pub async fn until_handled<T>(
    stop: &Stop,
    mut work: impl AsyncFnMut() -> Result<T, HandlingError>,
) -> Option<Result<T, String>> {
    let mut pause = PAUSE_MIN;
    loop {
        match work().await {
            Ok(done) => return Some(Ok(done)),
            Err(HandlingError::Poison { what }) => return Some(Err(what)),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn Error,
                    pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    "a message could not be handled, trying again"
                );
            }
        }
        // Half of it is chance, so that many instances do not come back at the same moment.
        let wait = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        tokio::select! {
            () = stop.requested() => return None,
            () = tokio::time::sleep(wait) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
