//! When to end.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether the program was asked to end, by SIGTERM.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use outbox_examples::Stop;
///
/// let stop = Stop::on_sigterm()?;
/// stop.requested().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens to SIGTERM from now on; must be called in a tokio runtime.
    ///
    /// # Errors
    /// When the system lets nobody listen to signals.
    pub fn on_sigterm() -> std::io::Result<Self> {
        let mut signal = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            signal.recv().await;
            // Nobody waits any more when it fails.
            let _ = sender.send(true);
            sender.closed().await;
        });
        Ok(Self(receiver))
    }

    /// Returns once the program was asked to end.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        // An error says that the listener is gone, with the runtime: that is an end, too.
        let _ = receiver.wait_for(|requested| *requested).await;
    }
}
