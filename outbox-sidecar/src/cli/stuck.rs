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
use crate::operator::Session;
use crate::stuck::StuckError;

/// Runs one of the commands.
pub(super) async fn execute(command: StuckCommand, settings: &Settings) -> Result<u8, CliError> {
    match command {
        StuckCommand::List(command) => list::execute(&command, settings).await,
        StuckCommand::Show(command) => show::execute(&command, settings).await,
        StuckCommand::Replay(command) => change::replay(&command, settings).await,
        StuckCommand::Skip(command) => change::skip(&command, settings).await,
    }
}

/// Connects, under the name of these commands.
async fn open(settings: &Settings) -> Result<Session, StuckError> {
    Ok(Session::open(settings, "outbox-sidecar stuck").await?)
}
