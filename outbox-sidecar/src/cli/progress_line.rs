use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::CliError;
use crate::operator::Progress;

/// How often the line is drawn on a terminal.
const REDRAW: Duration = Duration::from_millis(250);

/// How often it is written elsewhere, if it is another one by then.
const REWRITE: Duration = Duration::from_secs(10);

/// Shows a line while something is done: over and over in its place on a terminal, now and then
/// elsewhere.
pub(super) async fn shown<T>(line: impl Fn() -> String, work: impl Future<Output = T>) -> T {
    let is_terminal = std::io::stderr().is_terminal();
    let interval = if is_terminal { REDRAW } else { REWRITE };
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(interval);
    // The first comes at once.
    ticks.tick().await;
    let mut written = String::new();
    loop {
        tokio::select! {
            done = &mut work => {
                if is_terminal {
                    draw("");
                }
                return done;
            }
            _ = ticks.tick() => {
                let line = line();
                if is_terminal {
                    draw(&line);
                } else if line != written {
                    super::eprint(&line);
                    written = line;
                }
            }
        }
    }
}

/// The same of work that asks the relay: the first signal ends it where that does no harm, the second
/// ends the process.
pub(super) async fn shown_until_signalled<T>(
    progress: &Progress,
    work: impl Future<Output = T>,
) -> Result<T, CliError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
    let mut signalled = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let mut work = std::pin::pin!(shown(|| progress.line(), work));
    tokio::select! {
        done = &mut work => return Ok(done),
        () = signalled() => {
            progress.interrupt();
            super::eprint("\nending before the next request; a second signal ends at once");
        }
    }
    tokio::select! {
        done = &mut work => Ok(done),
        () = signalled() => {
            super::eprint("");
            Err(CliError::Signalled)
        }
    }
}

/// In the place of the line before.
fn draw(line: &str) {
    let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
}
