//! What can be chosen on the command line.

use clap::Parser;

/// Orders over HTTP, an outbox, a relay that is killed, Kafka, and a consumer: ends with a table.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Options {
    /// Messages that the service commits, about.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) messages: u32,
    /// Seconds over which they are spread; a slow machine takes longer.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// How often the relay is killed with SIGKILL meanwhile.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) kills: u32,
    /// Fixes the requests and the moments of the kills; random when not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Leave everything running afterwards and print the addresses; Ctrl-C ends it.
    #[arg(long)]
    pub(crate) keep: bool,
}
