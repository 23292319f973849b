//! `cargo xtask bench transactions`: librdkafka's transactions by themselves.

use std::time::Duration;

use clap::Parser;
use outbox_benches::{
    Ending, Spread, Table, TransactionBroker, TransactionPlan, Transactions, json_line, note,
    percentile,
};
use serde_json::json;

/// Transactions of a plain librdkafka, back to back, ended in two ways.
#[derive(Debug, Parser)]
struct Options {
    /// Messages of a transaction, one size measured after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000,10000",
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    sizes: Vec<u32>,
    /// For how long each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// How often each is measured; which ending goes first alternates.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Prints each run as a line of JSON instead of the table.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    note("starting the broker");
    let broker = TransactionBroker::start().await?;
    let plan = |size, ending| TransactionPlan {
        size,
        ending,
        length: Duration::from_secs(options.seconds.into()),
    };
    note("rounds that do not count: the broker compiles its code");
    for size in [1, 1000] {
        plan(size, Ending::Emptied).run(&broker).await?;
    }
    let mut table = Table::new(&[
        "messages a transaction",
        "end",
        "messages/s",
        "min",
        "max",
        "p50 ms",
        "p99 ms",
        "CPU us/message",
    ]);
    for &size in &options.sizes {
        let mut found = [(Ending::Emptied, Vec::new()), (Ending::Flush, Vec::new())];
        for round in 1..=options.rounds {
            note(&format!(
                "{size} a transaction, round {round} of {}",
                options.rounds
            ));
            found.reverse();
            for (ending, runs) in &mut found {
                let run = plan(size, *ending).run(&broker).await?;
                if options.json {
                    json_line(&line(size, *ending, round, &run))?;
                }
                runs.push(run);
            }
        }
        found.sort_by_key(|(ending, _)| *ending != Ending::Emptied);
        for (ending, runs) in &found {
            table.row(row(size, *ending, runs));
        }
    }
    if options.json { Ok(()) } else { table.print() }
}

fn milliseconds(run: &Transactions, share: f64) -> f64 {
    let end = percentile(&run.sorted, share).unwrap_or_default();
    end.as_secs_f64() * 1000.0
}

fn line(size: u32, ending: Ending, round: u32, run: &Transactions) -> serde_json::Value {
    json!({
        "bench": "transactions",
        "size": size,
        "ending": ending.to_string(),
        "round": round,
        "messages_per_second": run.messages_per_second,
        "end_p50_ms": milliseconds(run, 0.50),
        "end_p99_ms": milliseconds(run, 0.99),
        "cpu_us_per_message": run.cpu_per_message.as_secs_f64() * 1e6,
    })
}

/// Medians over the rounds.
fn row(size: u32, ending: Ending, runs: &[Transactions]) -> Vec<String> {
    let spread = |figure: &dyn Fn(&Transactions) -> f64| Spread::of(runs.iter().map(figure));
    let median = |figure: &dyn Fn(&Transactions) -> f64, digits: usize| {
        spread(figure).map_or_else(String::new, |found| format!("{:.digits$}", found.median))
    };
    let rate = spread(&|run| run.messages_per_second);
    let rates = rate.map_or_else(Vec::new, |rate| vec![rate.median, rate.min, rate.max]);
    let mut row = vec![size.to_string(), ending.to_string()];
    row.extend(rates.iter().map(|rate| format!("{rate:.0}")));
    row.push(median(&|run| milliseconds(run, 0.50), 1));
    row.push(median(&|run| milliseconds(run, 0.99), 1));
    row.push(median(&|run| run.cpu_per_message.as_secs_f64() * 1e6, 2));
    row
}
