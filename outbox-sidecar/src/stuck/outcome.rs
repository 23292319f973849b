use std::sync::Mutex;

use uuid::Uuid;

/// How far a command is, for whoever watches.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<String>);

impl Progress {
    /// One line.
    pub(crate) fn line(&self) -> String {
        self.0.lock().map(|line| line.clone()).unwrap_or_default()
    }

    pub(crate) fn say(&self, line: impl Into<String>) {
        if let Ok(mut place) = self.0.lock() {
            *place = line.into();
        }
    }
}

/// What became of the messages of requests that are carried out, those that were taken along
/// included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) published: u64,
    pub(crate) skipped: u64,
    /// They wait again, or were left out of a redelivery.
    pub(crate) returned: u64,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: Self) {
        self.published += other.published;
        self.skipped += other.skipped;
        self.returned += other.returned;
    }
}

/// Messages that somebody else's request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TakenBy {
    pub(crate) request: Uuid,
    pub(crate) kind: String,
    pub(crate) actor: String,
    pub(crate) messages: u64,
}
