use std::collections::HashMap;

use outbox_core::Timestamp;

use crate::sink::message_text::write_timestamp;

/// The destinations, each with a number that is kept in its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

/// So many destinations can be compared at once: as many as a relay remembers.
pub(super) const DESTINATIONS_MAX: usize = 10_000;

impl Names {
    /// The number of a destination; `None` when there are too many of them.
    pub(super) fn number(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        if self.names.len() >= DESTINATIONS_MAX {
            return None;
        }
        let number = u32::try_from(self.names.len()).ok()?;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Some(number)
    }

    /// The destination of a number that was given.
    pub(super) fn name(&self, number: u32) -> String {
        let name = usize::try_from(number)
            .ok()
            .and_then(|at| self.names.get(at));
        name.cloned().unwrap_or_default()
    }

    /// All of them, with their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..).zip(self.names.iter().map(String::as_str))
    }

    /// A time, as people read it.
    pub(super) fn time(&self, unix_ms: i64) -> String {
        let mut text = String::new();
        write_timestamp(
            &mut text,
            Timestamp::from_unix_us(unix_ms.saturating_mul(1000)),
        );
        text
    }
}
