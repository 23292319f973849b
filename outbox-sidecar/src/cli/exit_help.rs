//! What help says of exit codes; docs/command-line.md tells more of each.

/// Of all commands.
pub(super) const ALL: &str = "\
Exit codes:
  0  done; of run: told to end, and ended
  1  failed at run time, for the reason that is printed
  2  usage or configuration: nothing was started
  3  check or verify found something; not all that was asked for was published
  4  the slot or the publication is missing or lost, or init never came to its end
  5  the slot is ahead of the checkpoint, or the checkpoint is missing or corrupt
  6  another database, one that was set back, or one that lost what was published";

/// Of what asks the relay for something.
pub(super) const ASKING: &str = "\
Exit codes:
  0  asked; with --wait, carried out
  1  nothing fits, no server, no rights; with --wait, not carried out in time
  2  usage, --yes is missing, or what was chosen cannot be asked for
  3  some of it was left out, or waits again: what is printed says which";
