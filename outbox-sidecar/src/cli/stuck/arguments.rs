use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use outbox_core::relay::ParkReason;
use outbox_core::sink::RefusalReason;
use outbox_core::{MessageId, Position, Timestamp};

use crate::cli::CliError;
use crate::cli::arguments::{message_id, time};
use crate::cli::asking_arguments::AskingArguments;
use crate::cli::exit_help;
use crate::stuck::{Filter, StateFilter};

/// What is listed lies in memory.
const LISTED_MAX: u64 = 10_000;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StuckCommand {
    /// List messages that were set aside
    List(ListArguments),
    /// Show everything that is known of one
    Show(ShowArguments),
    /// Ask the relay to publish them
    #[command(after_help = exit_help::ASKING)]
    Replay(ReplayArguments),
    /// Give them up, and let what waits behind them go
    #[command(after_help = exit_help::ASKING)]
    Skip(SkipArguments),
}

/// Conditions: all must hold, and of each any of its values.
#[derive(Debug, Args)]
pub(super) struct FilterArguments {
    /// The message's id; may be repeated, as the other conditions may
    #[arg(long, value_name = "ID", value_parser = message_id)]
    id: Vec<MessageId>,
    /// The message's key
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// Where it was to go
    #[arg(long, value_name = "DESTINATION")]
    destination: Vec<String>,
    /// The kind of event
    #[arg(long = "type", value_name = "TYPE")]
    message_type: Vec<String>,
    /// Why it was set aside
    #[arg(long, value_name = "REASON", value_parser = reasons())]
    reason: Vec<String>,
    /// Set aside at this time or later, such as 2026-11-21T05:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Set aside before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
}

/// Those that there are: a mistyped one would find nothing, and look like an all-clear.
fn reasons() -> PossibleValuesParser {
    let refusals = RefusalReason::ALL.into_iter().map(ParkReason::Refused);
    let reasons = refusals.chain([ParkReason::KeyBlocked]);
    PossibleValuesParser::new(reasons.map(ParkReason::as_str))
}

impl FilterArguments {
    pub(super) fn filter(&self) -> Result<Filter, CliError> {
        let is_empty = self
            .since
            .zip(self.until)
            .is_some_and(|(since, until)| until <= since);
        if is_empty {
            return Err(CliError::Window {
                since: "since",
                until: "until",
            });
        }
        Ok(Filter {
            ids: self.id.clone(),
            keys: self.key.clone(),
            destinations: self.destination.clone(),
            types: self.message_type.clone(),
            reasons: self.reason.clone(),
            since: self.since,
            until: self.until,
        })
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArguments {
    #[command(flatten)]
    pub(super) filter: FilterArguments,
    /// In which state [default: waiting and replaying]
    #[arg(long, value_enum)]
    pub(super) state: Option<State>,
    /// How many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=LISTED_MAX))]
    pub(super) limit: u64,
    /// Behind this position: the next page
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub(super) after: Option<Position>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum State {
    /// It waits for a decision
    Waiting,
    /// Somebody asked for it
    Replaying,
    /// It was published
    Replayed,
    /// It was given up
    Skipped,
    /// Any
    All,
}

impl State {
    pub(super) const fn filter(state: Option<Self>) -> StateFilter {
        match state {
            None => StateFilter::Unsettled,
            Some(Self::Waiting) => StateFilter::Only("waiting"),
            Some(Self::Replaying) => StateFilter::Only("replaying"),
            Some(Self::Replayed) => StateFilter::Only("replayed"),
            Some(Self::Skipped) => StateFilter::Only("skipped"),
            Some(Self::All) => StateFilter::All,
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArguments {
    /// The message's id
    #[arg(value_name = "ID", value_parser = message_id)]
    pub(super) id: MessageId,
    /// Print JSON, which --edit takes
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArguments {
    #[command(flatten)]
    pub(super) change: ChangeArguments,
    /// Publish them there instead
    #[arg(long, value_name = "DESTINATION")]
    pub(super) to: Option<String>,
    /// Publish what this file says instead: one message, in the form that show --json prints
    #[arg(long, value_name = "FILE")]
    pub(super) edit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SkipArguments {
    #[command(flatten)]
    pub(super) change: ChangeArguments,
}

/// What replaying and skipping have in common.
#[derive(Debug, Args)]
pub(super) struct ChangeArguments {
    #[command(flatten)]
    pub(super) filter: FilterArguments,
    /// All that wait
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) asking: AskingArguments,
}

/// A position as it is printed.
fn position(text: &str) -> Result<Position, String> {
    let read = text.split_once(':').and_then(|(lsn, index)| {
        Some(Position {
            commit_lsn: lsn.parse().ok()?,
            index: index.parse().ok()?,
        })
    });
    read.ok_or_else(|| "expected a position as it is printed, such as 0/16B3748:2".to_owned())
}
