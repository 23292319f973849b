//! What can be chosen on the command line.

use clap::{Parser, ValueEnum};

/// What can be published to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Broker {
    /// A topic, each message exactly once.
    Kafka,
    /// A quorum queue, each message at least once.
    Rabbitmq,
    /// A stream, each message exactly once.
    RabbitmqStream,
}

/// Orders over HTTP, an outbox, a relay that is killed, a broker, and a consumer: ends with a table.
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
    /// Where the relay publishes to.
    #[arg(long, value_enum, default_value_t = Broker::Kafka)]
    pub(crate) broker: Broker,
    /// Leave everything running afterwards and print the addresses; Ctrl-C ends it.
    #[arg(long)]
    pub(crate) keep: bool,
}
