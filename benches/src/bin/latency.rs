//! `cargo xtask bench latency`: single inserts at a quiet pace, from commit to consumer.

use std::time::Duration;

use clap::Parser;
use outbox_benches::{Broker, LatencyPlan, Servers, Table, json_line, note, percentile};
use serde_json::json;

/// Commit to read_committed consumer, exactly once, on real servers.
#[derive(Debug, Parser)]
struct Options {
    /// Inserts a second, each in a transaction of its own.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// How many seconds the broker gets load before; 0 shows one that has just started.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    warm_up: u32,
    /// Prints the result as a line of JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let servers = Servers::start(Broker::Kafka).await?;
    note(&format!(
        "{} inserts a second for {} s",
        options.rate, options.seconds
    ));
    let plan = LatencyPlan {
        per_second: options.rate,
        length: Duration::from_secs(options.seconds.into()),
        warm_up: Duration::from_secs(options.warm_up.into()),
    };
    let latency = plan.run(&servers).await?;
    let milliseconds = |share| {
        let latency = percentile(&latency.sorted, share).unwrap_or_default();
        latency.as_secs_f64() * 1000.0
    };
    let [p50, p95, p99, max] = [0.50, 0.95, 0.99, 1.0].map(milliseconds);
    let resident_mebibytes = latency.resident_bytes_max as f64 / f64::from(1 << 20);
    if options.json {
        return json_line(&json!({
            "bench": "latency",
            "rate": options.rate,
            "warm_up_s": options.warm_up,
            "messages": latency.sorted.len(),
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "max_ms": max,
            "relay_cpu_share": latency.cpu_share,
            "relay_resident_mebibytes_max": resident_mebibytes,
        }));
    }
    let mut table = Table::new(&[
        "inserts/s",
        "messages",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "relay CPU",
        "relay MiB",
    ]);
    let mut row = vec![options.rate.to_string(), latency.sorted.len().to_string()];
    row.extend([p50, p95, p99, max].map(|figure| format!("{figure:.2}")));
    row.push(format!("{:.1} %", latency.cpu_share * 100.0));
    row.push(format!("{resident_mebibytes:.1}"));
    table.row(row);
    table.print()
}
