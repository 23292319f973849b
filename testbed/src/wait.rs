//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use crate::error::Error;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Looks at `condition` until it holds.
///
/// # Errors
/// When it does not hold within `deadline`; the error says `what` was waited for.
///
/// ```
/// # use std::time::Duration;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let mut rounds = 0;
/// testbed::wait::until("three rounds", Duration::from_secs(5), async || {
///     rounds += 1;
///     rounds == 3
/// })
/// .await?;
/// # Ok::<(), testbed::Error>(()) }).unwrap();
/// ```
pub async fn until(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) -> Result<(), Error> {
    let some = async || condition().await.then_some(());
    until_some(what, deadline, some).await
}

/// Asks `question` until it has an answer, and returns that.
///
/// # Errors
/// When there is none within `deadline`; the error says `what` was waited for.
pub async fn until_some<T>(
    what: &str,
    deadline: Duration,
    mut question: impl AsyncFnMut() -> Option<T>,
) -> Result<T, Error> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = question().await {
            return Ok(answer);
        }
        if Instant::now() >= end {
            return Err(Error::new(format!("{what}: not within {deadline:?}")));
        }
        tokio::time::sleep(POLL).await;
    }
}
