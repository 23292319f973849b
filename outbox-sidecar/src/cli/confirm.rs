use std::io::{BufRead as _, IsTerminal as _, Write as _};

use super::asking_arguments::AskingArguments;
use super::described::Described;
use super::{CliError, eprint};
use crate::operator::Presence;

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

/// Asks before so many messages are asked for, and says what stands in front of them.
pub(super) fn confirm_asking(
    described: &Described<'_>,
    asking: &AskingArguments,
    messages: u64,
    question: impl FnOnce() -> String,
) -> Result<(), CliError> {
    let is_asked = messages > 1 && !asking.yes;
    eprint(&described.open_text());
    if is_asked {
        confirm(&question())?;
    }
    if asking.wait && described.presence != Presence::Running {
        eprint(&described.presence_text());
    }
    Ok(())
}
