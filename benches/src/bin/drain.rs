//! `cargo xtask bench drain`: a backlog drained into a broker, beside `pg_recvlogical` and, with
//! RabbitMQ, beside a plain client that publishes the same bytes with confirms.

use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use outbox_benches::{
    Broker, Drained, Servers, Shape, Sidecar, Spread, Table, json_line, note, plain_client, verify,
};
use serde_json::json;

/// How fast the relay drains a backlog, beside a reader that throws everything away.
#[derive(Debug, Parser)]
struct Options {
    /// Rows of each backlog.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rows: u64,
    /// How often each shape is measured; which system goes first alternates.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Keys that wait behind a message that was set aside: none of those that are drained.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    blocked_keys: u32,
    /// How the rows are spread over transactions, one measured after the other.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "thousands,singles"
    )]
    shapes: Vec<Shape>,
    /// What it is drained into.
    #[arg(long, value_enum, default_value_t = Broker::Kafka)]
    broker: Broker,
    /// Prints each run as a line of JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// One backlog, read by both.
struct Round {
    ceiling: Duration,
    relay: Drained,
    plain: Option<Duration>,
    /// The ceiling's reader and the plain client, side by side.
    both: Option<Duration>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let servers = Servers::start(options.broker).await?;
    let mut table = Table::new(&[
        "backlog",
        "system",
        "rows/s",
        "min",
        "max",
        "of the ceiling",
        "after start-up",
        "of the ceiling",
        "of the plain client",
        "of both at once",
        "start-up s",
        "first rows s",
        "CPU us/row",
        "MiB",
        "rows/batch",
    ]);
    note("a round that does not count: the broker compiles its code");
    run(&servers, Shape::Thousands, &options, true).await?;
    for &shape in &options.shapes {
        let mut rounds = Vec::new();
        for number in 1..=options.rounds {
            note(&format!("{shape}, round {number} of {}", options.rounds));
            let round = run(&servers, shape, &options, number % 2 == 1).await?;
            if options.json {
                json_lines(shape, number, options.rows, &round)?;
            }
            rounds.push(round);
        }
        summarise(&mut table, shape, options.rows, &rounds);
    }
    if options.json { Ok(()) } else { table.print() }
}

/// Writes a backlog, has both read it, and checks what arrived.
async fn run(
    servers: &Servers,
    shape: Shape,
    options: &Options,
    ceiling_first: bool,
) -> anyhow::Result<Round> {
    let rows = options.rows;
    let (mut sidecar, ceiling, backlog) = Sidecar::with_backlog(servers, shape, rows).await?;
    sidecar
        .block_keys(servers, &backlog, options.blocked_keys)
        .await?;
    let round = if ceiling_first {
        let alone = ceiling.run(servers, &backlog).await?;
        let relay = sidecar.drain(&backlog).await?;
        let plain = plain_client(servers, rows).await?;
        let both = ceiling.run_beside_a_client(servers, &backlog, rows).await?;
        Round {
            ceiling: alone,
            relay,
            plain,
            both,
        }
    } else {
        let both = ceiling.run_beside_a_client(servers, &backlog, rows).await?;
        let plain = plain_client(servers, rows).await?;
        let relay = sidecar.drain(&backlog).await?;
        let alone = ceiling.run(servers, &backlog).await?;
        Round {
            ceiling: alone,
            relay,
            plain,
            both,
        }
    };
    let audience = verify(servers, &backlog).await?;
    if (audience.seen, audience.duplicated, audience.out_of_order) != (rows, 0, 0) {
        bail!("of {rows} rows a consumer saw: {audience:?}");
    }
    backlog.clear(servers).await?;
    Ok(round)
}

fn rate(rows: u64, elapsed: Duration) -> f64 {
    rows as f64 / elapsed.as_secs_f64()
}

fn after_start_up(relay: &Drained) -> Duration {
    relay.elapsed.saturating_sub(relay.start_up)
}

/// Of its rate, the relay's start-up aside: the plain client's connection is not timed either.
fn of_the_plain_client(round: &Round) -> f64 {
    of(round.plain, &round.relay)
}

/// Of what reader and plain client need side by side.
fn of_both_at_once(round: &Round) -> f64 {
    of(round.both, &round.relay)
}

fn of(other: Option<Duration>, relay: &Drained) -> f64 {
    other.map_or(0.0, |other| {
        other.as_secs_f64() / after_start_up(relay).as_secs_f64()
    })
}

fn cpu_microseconds(rows: u64, relay: &Drained) -> f64 {
    relay.usage.cpu.as_secs_f64() * 1e6 / rows as f64
}

fn mebibytes(relay: &Drained) -> f64 {
    relay.usage.resident_bytes_max as f64 / f64::from(1 << 20)
}

fn json_lines(shape: Shape, number: u32, rows: u64, round: &Round) -> anyhow::Result<()> {
    let shape = shape.to_string();
    json_line(&json!({
        "bench": "drain",
        "system": "pg_recvlogical",
        "backlog": shape,
        "round": number,
        "rows": rows,
        "seconds": round.ceiling.as_secs_f64(),
        "rows_per_second": rate(rows, round.ceiling),
    }))?;
    let references = [("plain client", round.plain), ("both at once", round.both)];
    for (system, took) in references {
        if let Some(took) = took {
            json_line(&json!({
                "bench": "drain",
                "system": system,
                "backlog": shape,
                "round": number,
                "rows": rows,
                "seconds": took.as_secs_f64(),
                "rows_per_second": rate(rows, took),
            }))?;
        }
    }
    let relay = &round.relay;
    json_line(&json!({
        "bench": "drain",
        "system": "outbox-sidecar",
        "backlog": shape,
        "round": number,
        "rows": rows,
        "seconds": relay.elapsed.as_secs_f64(),
        "rows_per_second": rate(rows, relay.elapsed),
        "start_up_seconds": relay.start_up.as_secs_f64(),
        "first_rows_seconds": relay.first_rows.as_secs_f64(),
        "rows_per_second_after_start_up": rate(rows, after_start_up(relay)),
        "of_the_ceiling": rate(rows, relay.elapsed) / rate(rows, round.ceiling),
        "of_the_plain_client": of_the_plain_client(round),
        "of_both_at_once": of_both_at_once(round),
        "cpu_microseconds_per_row": cpu_microseconds(rows, relay),
        "resident_mebibytes_max": mebibytes(relay),
        "batches": relay.batches,
        "batch_rows_mean": relay.batch_messages_mean,
    }))
}

fn summarise(table: &mut Table, shape: Shape, rows: u64, rounds: &[Round]) {
    let spread =
        |figure: fn(u64, &Round) -> f64| Spread::of(rounds.iter().map(|round| figure(rows, round)));
    let median =
        |figure: fn(u64, &Round) -> f64| spread(figure).map_or(0.0, |spread| spread.median);
    let rates = |system: &str, figure: fn(u64, &Round) -> f64| {
        let spread = spread(figure);
        let figures = spread.map_or([0.0; 3], |spread| [spread.median, spread.min, spread.max]);
        let mut row = vec![shape.to_string(), system.to_owned()];
        row.extend(figures.map(|figure| format!("{figure:.0}")));
        row
    };
    table.row(rates("pg_recvlogical", |rows, round| {
        rate(rows, round.ceiling)
    }));
    if rounds.iter().all(|round| round.plain.is_some()) {
        table.row(rates("plain client", |rows, round| {
            rate(rows, round.plain.unwrap_or_default())
        }));
        table.row(rates("both at once", |rows, round| {
            rate(rows, round.both.unwrap_or_default())
        }));
    }
    let mut row = rates("outbox-sidecar", |rows, round| {
        rate(rows, round.relay.elapsed)
    });
    // A ratio is taken within each round: both have read the same backlog on the same machine.
    row.push(format!(
        "{:.2}",
        median(|_, round| { round.ceiling.as_secs_f64() / round.relay.elapsed.as_secs_f64() })
    ));
    row.push(format!(
        "{:.0}",
        median(|rows, round| rate(rows, after_start_up(&round.relay)))
    ));
    row.push(format!(
        "{:.2}",
        median(|_, round| {
            round.ceiling.as_secs_f64() / after_start_up(&round.relay).as_secs_f64()
        })
    ));
    let has_plain = rounds.iter().all(|round| round.plain.is_some());
    for ratio in [of_the_plain_client, of_both_at_once] {
        let ratios = Spread::of(rounds.iter().map(ratio));
        row.push(match ratios {
            Some(ratios) if has_plain => format!("{:.2}", ratios.median),
            _ => "-".to_owned(),
        });
    }
    row.push(format!(
        "{:.2}",
        median(|_, round| round.relay.start_up.as_secs_f64())
    ));
    row.push(format!(
        "{:.2}",
        median(|_, round| round.relay.first_rows.as_secs_f64())
    ));
    row.push(format!(
        "{:.2}",
        median(|rows, round| cpu_microseconds(rows, &round.relay))
    ));
    row.push(format!("{:.1}", median(|_, round| mebibytes(&round.relay))));
    row.push(format!(
        "{:.0}",
        median(|_, round| round.relay.batch_messages_mean)
    ));
    table.row(row);
}
