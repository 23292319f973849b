use super::arguments::ConfigArguments;
use super::{CliError, print};
use crate::config::{Layers, show_json, show_text};
use crate::exit::ExitCode;

/// Prints the effective configuration. Values that are wrong are shown too: that is what it is for.
pub(super) fn execute(command: &ConfigArguments, layers: &Layers) -> Result<ExitCode, CliError> {
    if command.json {
        print(&format!("{:#}", show_json(layers)));
    } else {
        print(&show_text(layers));
    }
    Ok(ExitCode::Done)
}
