use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;

/// The longest that a request may be waited for: a day.
const WAIT_S_MAX: u64 = 86_400;

/// How the relay is asked: what commands that make requests have in common.
#[derive(Debug, Args)]
pub(super) struct AskingArguments {
    /// Only say what would happen
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask, also for more than one message
    #[arg(long)]
    pub(super) yes: bool,
    /// So many messages a second
    #[arg(long, value_name = "COUNT")]
    pub(super) rate: Option<NonZeroU32>,
    /// Wait until the outcome is known
    #[arg(long)]
    pub(super) wait: bool,
    /// How many seconds each request may take, with --wait
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(0..=WAIT_S_MAX))]
    pub(super) wait_s: u64,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
    /// Who, for the record [default: $OUTBOX_ACTOR, or the user at this host, or the role]
    #[arg(long, value_name = "NAME")]
    pub(super) actor: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl AskingArguments {
    /// How long each request may take, if it is waited for.
    pub(super) fn wait_max(&self) -> Option<Duration> {
        self.wait.then(|| Duration::from_secs(self.wait_s))
    }
}
