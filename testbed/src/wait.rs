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
/// let folder = std::env::temp_dir();
/// testbed::wait::until("a folder", Duration::from_secs(5), async || folder.exists()).await?;
/// # Ok::<(), testbed::Error>(()) }).unwrap();
/// ```
pub async fn until<F: Future<Output = bool>>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> F,
) -> Result<(), Error> {
    let some = || {
        let holds = condition();
        async { holds.await.then_some(()) }
    };
    until_some(what, deadline, some).await
}

/// Asks `question` until it has an answer, and returns that.
///
/// # Errors
/// When there is none within `deadline`; the error says `what` was waited for.
pub async fn until_some<T, F: Future<Output = Option<T>>>(
    what: &str,
    deadline: Duration,
    mut question: impl FnMut() -> F,
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
