use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::arguments::VerifyArguments;
use super::{CliError, print};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::verify::{Progress, VerifyOptions, Window, verify};

/// How often the line that shows progress is drawn.
const REDRAW: Duration = Duration::from_millis(250);

/// Compares the outbox with what the broker holds.
pub(super) async fn execute(
    command: &VerifyArguments,
    settings: &Settings,
) -> Result<u8, CliError> {
    let window = Window {
        from: command.from,
        to: command.to,
    };
    if window.is_empty() {
        return Err(CliError::Window);
    }
    let options = VerifyOptions {
        window,
        wait_max: Duration::from_secs(command.wait_s),
        findings_max: usize::try_from(command.findings_max).unwrap_or(usize::MAX),
        directory: command
            .temporary_directory
            .clone()
            .unwrap_or_else(std::env::temp_dir),
    };
    let progress = Arc::new(Progress::default());
    let verified = shown(&progress, verify(settings, &options, &progress)).await;
    let report = verified?;
    if command.json {
        print(&format!("{:#}", report.to_json()));
    } else {
        print(&report.to_text());
    }
    let code = if report.has_findings() {
        ExitCode::Findings
    } else {
        ExitCode::Done
    };
    Ok(code.number())
}

/// Draws a line over and over on a terminal, and nothing elsewhere.
async fn shown<T>(progress: &Progress, work: impl Future<Output = T>) -> T {
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
            _ = ticks.tick() => draw(&progress.line()),
        }
    }
}

/// In the place of the line before.
fn draw(line: &str) {
    let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
}
