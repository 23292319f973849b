//! One line that says how things stand: refreshed on a terminal, now and then a new one elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a line is written where nobody watches it change.
const PLAIN_PAUSE: Duration = Duration::from_secs(2);

/// The line, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    started: Instant,
    /// When a plain line was written last.
    written: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            started: Instant::now(),
            written: None,
        }
    }

    /// A step of its own: stays.
    pub(crate) fn step(&mut self, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        write(&format!("{clear}{seconds:6.1} s  {text}\n"));
        self.written = None;
    }

    /// How things stand: replaced by the next.
    pub(crate) fn show(&mut self, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        if self.terminal {
            write(&format!("\r\x1b[K{seconds:6.1} s  {text}"));
        } else if self
            .written
            .is_none_or(|written| written.elapsed() >= PLAIN_PAUSE)
        {
            write(&format!("{seconds:6.1} s  {text}\n"));
            self.written = Some(Instant::now());
        }
    }
}

/// A reader that went away is no reason to stop.
fn write(text: &str) {
    let mut output = std::io::stderr();
    let _ = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}
