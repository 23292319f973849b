use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::count::counted;

/// How far a comparison is, for whoever watches.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    step: Mutex<String>,
    rows: AtomicU64,
    messages: AtomicU64,
}

impl Progress {
    /// One line.
    pub(crate) fn line(&self) -> String {
        let step = self.step.lock().map(|step| step.clone());
        let rows = self.rows.load(Ordering::Relaxed);
        let messages = self.messages.load(Ordering::Relaxed);
        format!(
            "{}, {}: {}",
            counted(rows, "row"),
            counted(messages, "message"),
            step.unwrap_or_default()
        )
    }

    pub(super) fn step(&self, step: impl Into<String>) {
        if let Ok(mut place) = self.step.lock() {
            *place = step.into();
        }
    }

    pub(super) fn row(&self) {
        self.rows.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn message(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }
}
