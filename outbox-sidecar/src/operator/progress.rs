use std::sync::Mutex;

use tokio::sync::watch;

use super::RequestError;

/// How far a command is, for whoever watches; and whether they want it to end.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    line: Mutex<String>,
    is_interrupted: watch::Sender<bool>,
}

impl Progress {
    /// One line.
    pub(crate) fn line(&self) -> String {
        self.line
            .lock()
            .map(|line| line.clone())
            .unwrap_or_default()
    }

    pub(crate) fn say(&self, line: impl Into<String>) {
        if let Ok(mut place) = self.line.lock() {
            *place = line.into();
        }
    }

    /// The command shall end before it writes another request, or at once where it only waits.
    pub(crate) fn interrupt(&self) {
        self.is_interrupted.send_replace(true);
    }

    /// Goes on unless the command shall end.
    ///
    /// # Errors
    /// [`RequestError::Interrupted`].
    pub(super) fn go_on(&self) -> Result<(), RequestError> {
        if *self.is_interrupted.borrow() {
            Err(RequestError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Waits, unless the command shall end.
    ///
    /// # Errors
    /// [`RequestError::Interrupted`].
    pub(super) async fn pause(&self, pause: std::time::Duration) -> Result<(), RequestError> {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.interrupted() => {}
        }
        self.go_on()
    }

    /// Waits until the command shall end.
    pub(super) async fn interrupted(&self) {
        let mut interrupted = self.is_interrupted.subscribe();
        // It lives as long as we do.
        let _ = interrupted.wait_for(|is_interrupted| *is_interrupted).await;
    }
}
