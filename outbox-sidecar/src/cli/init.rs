use super::arguments::{Backlog, InitArguments};
use super::{CliError, eprint, print};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::setup::{BacklogPolicy, InitOptions, init, print_plan};
use crate::source::connection::Address;
use crate::telemetry::logs;

/// Sets the relay up, or prints the SQL that does.
pub(super) async fn execute(command: &InitArguments, settings: &Settings) -> Result<u8, CliError> {
    logs::start(settings);
    let options = InitOptions {
        admin: command
            .admin_url
            .as_deref()
            .map(Address::parse)
            .transpose()?,
        relay_role: command.relay_role.clone(),
        app_role: command.app_role.clone(),
        backlog: match command.backlog {
            Backlog::Refuse => BacklogPolicy::Refuse,
            Backlog::Publish => BacklogPolicy::Publish,
            Backlog::Skip => BacklogPolicy::Skip,
        },
        accept_publication: command.accept_publication,
    };
    if command.print {
        print(&print_plan(settings, &options));
    } else {
        init(settings, &options, eprint).await?;
    }
    Ok(ExitCode::Done.number())
}
