//! `stuck`: see messages that were set aside, and decide about them.

mod arguments;
mod change;
mod change_report;
mod list;
mod show;
mod table;
#[cfg(test)]
mod tests;

pub(super) use arguments::StuckCommand;

use super::CliError;
use crate::config::Settings;

/// Runs one of the commands.
pub(super) async fn execute(command: StuckCommand, settings: &Settings) -> Result<u8, CliError> {
    match command {
        StuckCommand::List(command) => list::execute(&command, settings).await,
        StuckCommand::Show(command) => show::execute(&command, settings).await,
        StuckCommand::Replay(command) => change::replay(&command, settings).await,
        StuckCommand::Skip(command) => change::skip(&command, settings).await,
    }
}
