use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use outbox_core::{MessageId, Position, Timestamp};

use super::exit_help;
use super::redeliver::RedeliverArguments;
use super::stuck::StuckCommand;
use crate::sink::message_text::read_timestamp;
use crate::verify::read_position;

/// Relays a PostgreSQL outbox into Kafka or RabbitMQ.
#[derive(Debug, Parser)]
#[command(name = "outbox-sidecar", version, about, after_help = exit_help::ALL)]
pub(super) struct Arguments {
    /// The configuration file [default: ./outbox.toml, then /etc/outbox/outbox.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Sets one key of the configuration, over file and environment
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) set: Vec<(String, String)>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make what the relay needs: schema, publication, slot, roles, checkpoint topic
    #[command(after_help = exit_help::ALL)]
    Init(InitArguments),
    /// Look for everything that could go wrong, before it does
    #[command(after_help = exit_help::ALL)]
    Check(ReportArguments),
    /// Run the relay
    #[command(after_help = exit_help::ALL)]
    Run,
    /// Say how far the relay is
    #[command(after_help = exit_help::ALL)]
    Status(ReportArguments),
    /// See messages that were set aside, and decide about them
    #[command(subcommand)]
    Stuck(StuckCommand),
    /// Publish once more what was published in a range of time
    #[command(after_help = exit_help::ASKING)]
    Redeliver(RedeliverArguments),
    /// Compare the outbox with what the broker holds
    #[command(after_help = exit_help::ALL)]
    Verify(VerifyArguments),
    /// Take away slot, publication and checkpoint
    #[command(after_help = exit_help::ALL)]
    Remove(RemoveArguments),
    /// Show the configuration and where each value comes from
    Config(ConfigArguments),
}

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Who may create what is missing, best without a password: PGPASSFILE gives it [default: postgres.url]
    #[arg(long, value_name = "URL")]
    pub(super) admin_url: Option<String>,
    /// The role that the relay uses; made if missing
    #[arg(long, value_name = "ROLE")]
    pub(super) relay_role: Option<String>,
    /// The role of the service that enqueues
    #[arg(long, value_name = "ROLE")]
    pub(super) app_role: Option<String>,
    /// What to do with rows that are older than the slot
    #[arg(long, value_enum, default_value_t = Backlog::Refuse)]
    pub(super) backlog: Backlog,
    /// The publication was altered and put back: go on, without what it left out meanwhile
    #[arg(long)]
    pub(super) accept_publication: bool,
    /// Print the SQL instead of running it
    #[arg(long)]
    pub(super) print: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Backlog {
    /// Stop and name their number
    Refuse,
    /// Publish them, by inserting them anew with the same ids
    Publish,
    /// Leave them unpublished
    Skip,
}

#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// Only rows that were enqueued at this time or later, such as 2026-11-21T05:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) from: Option<Timestamp>,
    /// Only rows that were enqueued before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) to: Option<Timestamp>,
    /// Judge only what stands at this position or behind it: LSN:index, as outbox-position ends, or an LSN
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub(super) from_position: Option<Position>,
    /// Judge only what stands before this position
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub(super) to_position: Option<Position>,
    /// How many seconds the relay may take to publish what is in the table
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=WAIT_S_MAX))]
    pub(super) wait_s: u64,
    /// How many findings of each kind are listed; all are counted
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=FINDINGS_MAX))]
    pub(super) findings_max: u32,
    /// Where temporary files go: about 300 bytes a row [default: the system's]
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) temporary_directory: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// A day.
const WAIT_S_MAX: u64 = 86_400;

/// What is listed lies in memory.
const FINDINGS_MAX: i64 = 10_000;

#[derive(Debug, Args)]
pub(super) struct RemoveArguments {
    /// Who may drop what init made, best without a password: PGPASSFILE gives it [default: postgres.url]
    #[arg(long, value_name = "URL")]
    pub(super) admin_url: Option<String>,
    /// Really do it
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArguments {
    /// Print every effective value and its origin
    #[arg(long, required = true)]
    pub(super) show: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// A time as people write it.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    read_timestamp(text)
        .ok_or_else(|| "expected a time in RFC 3339, such as 2026-11-21T05:00:00Z".to_owned())
}

/// A message's id. What is none is not repeated: it may be an address with a password.
pub(super) fn message_id(text: &str) -> Result<MessageId, String> {
    text.parse().map_err(|_| {
        "expected a message's id, a UUID such as 019a9f0e-7d1c-7c3e-9a50-6a1b2c3d4e5f".to_owned()
    })
}

fn position(text: &str) -> Result<Position, String> {
    read_position(text).ok_or_else(|| "expected LSN:index or LSN, such as 0/16B3748:0".to_owned())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "expected key=value, such as log.level=debug".to_owned())
}
