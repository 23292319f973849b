use super::arguments::ReportArguments;
use super::{CliError, print};
use crate::check::check;
use crate::config::Settings;
use crate::exit::ExitCode;

/// Prints one line for everything that was looked at.
pub(super) async fn execute(
    command: &ReportArguments,
    settings: &Settings,
) -> Result<u8, CliError> {
    let findings = check(settings).await;
    if command.json {
        print(&format!("{:#}", findings.to_json()));
    } else {
        print(&findings.to_text());
    }
    let code = if findings.has_errors() {
        ExitCode::Findings
    } else {
        ExitCode::Done
    };
    Ok(code.number())
}
