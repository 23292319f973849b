use super::arguments::RemoveArguments;
use super::{CliError, eprint};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::setup::remove;
use crate::source::connection::Address;

/// Takes away what the relay owns.
pub(super) async fn execute(
    command: &RemoveArguments,
    settings: &Settings,
) -> Result<u8, CliError> {
    if !command.yes {
        return Err(CliError::Unconfirmed(format!(
            "this drops slot and publication {} and ends the checkpoint of relay {}: what is not \
             published yet never will be by it",
            settings.slot(),
            settings.relay
        )));
    }
    let admin = command
        .admin_url
        .as_deref()
        .map(Address::parse)
        .transpose()?;
    remove(settings, admin.as_ref(), eprint).await?;
    Ok(ExitCode::Done.number())
}
