use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Relays a PostgreSQL outbox into Kafka or RabbitMQ.
#[derive(Debug, Parser)]
#[command(name = "outbox-sidecar", version, about)]
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
    Init(InitArguments),
    /// Look for everything that could go wrong, before it does
    Check(ReportArguments),
    /// Run the relay
    Run,
    /// Say how far the relay is
    Status(ReportArguments),
    /// Take away slot, publication and checkpoint
    Remove(RemoveArguments),
    /// Show the configuration and where each value comes from
    Config(ConfigArguments),
}

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Who may create what is missing [default: postgres.url]
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
pub(super) struct RemoveArguments {
    /// Who may drop what init made [default: postgres.url]
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

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "expected key=value, such as log.level=debug".to_owned())
}
