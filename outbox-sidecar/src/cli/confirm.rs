use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::cli::CliError;

/// Asks on a terminal whether `what` is meant; without one only `--yes` says so.
pub(super) fn confirm(what: &str) -> Result<(), CliError> {
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return Err(CliError::Unconfirmed(what.to_owned()));
    }
    let _ = write!(stderr, "{what}: go on? [y/N] ");
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    let is_yes = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if read.is_ok() && is_yes {
        Ok(())
    } else {
        Err(CliError::Declined)
    }
}
