use std::sync::Arc;
use std::time::Duration;

use super::arguments::VerifyArguments;
use super::progress_line::shown;
use super::{CliError, print};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::verify::{PositionRange, Progress, VerifyOptions, Window, verify};

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
        return Err(CliError::Window {
            since: "from",
            until: "to",
        });
    }
    let options = VerifyOptions {
        window,
        positions: PositionRange {
            from: command.from_position,
            to: command.to_position,
        },
        wait_max: Duration::from_secs(command.wait_s),
        findings_max: usize::try_from(command.findings_max).unwrap_or(usize::MAX),
        directory: command
            .temporary_directory
            .clone()
            .unwrap_or_else(std::env::temp_dir),
    };
    let progress = Arc::new(Progress::default());
    let verified = shown(|| progress.line(), verify(settings, &options, &progress)).await;
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
