use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// How often the line is drawn.
const REDRAW: Duration = Duration::from_millis(250);

/// Draws a line over and over on a terminal while something is done, and nothing elsewhere.
pub(super) async fn shown<T>(line: impl Fn() -> String, work: impl Future<Output = T>) -> T {
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(REDRAW);
    loop {
        tokio::select! {
            done = &mut work => {
                draw("");
                return done;
            }
            _ = ticks.tick() => draw(&line()),
        }
    }
}

/// In the place of the line before.
fn draw(line: &str) {
    let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
}
