//! The demo from start to end.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use testbed::history::Follower;
use tokio_postgres::Client;

use crate::kills;
use crate::load::Load;
use crate::options::Options;
use crate::progress::Progress;
use crate::relay::Relay;
use crate::servers::{DESTINATION, SERVICE_ROLE, Servers};
use crate::service::Service;
use crate::verdict::Verdict;

/// How often things are looked at.
const TURN: Duration = Duration::from_millis(50);
/// Longest time from the last commit until everything is published and the slot says so.
const DRAIN_MAX: Duration = Duration::from_secs(180);
/// Longest time from the slot's last step to the arrival of the last message.
const ARRIVAL_MAX: Duration = Duration::from_secs(20);

/// Runs the demo; true when each committed message was seen as promised, in order, and nothing
/// else.
pub(crate) async fn run(options: &Options) -> anyhow::Result<bool> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let length = Duration::from_secs(options.seconds.into());
    let mut progress = Progress::new();
    progress.step(&format!("seed {seed}"));

    progress.show("starting PostgreSQL and the broker");
    let servers = Servers::start(options.broker).await?;
    progress.step(&format!(
        "PostgreSQL at port {}, {}",
        servers.postgres.address().port(),
        servers.outlet.address()
    ));
    let schedule = kills::schedule(seed, options.kills, length);
    let mut relay = Relay::start(&servers, schedule).await?;
    progress.step("the relay is set up and started");
    let service = Service::start(&servers).await?;
    progress.step(&format!(
        "the orders service listens at {}",
        service.address
    ));
    let follower = servers.outlet.follow().await?;

    let mut load = Load::start(service.address, seed, options.messages, length);
    while !(load.is_done()? && relay.is_past_its_kills()) {
        tokio::time::sleep(TURN).await;
        relay.turn(load.started().elapsed()).await?;
        progress.show(&standing(&load, &follower, &relay, options.kills));
    }
    let (committed, rolled_back) = load.counts();
    progress.step(&format!(
        "all requests are answered: {committed} committed, {rolled_back} rolled back"
    ));
    let drained = drain(
        &servers,
        &load,
        &follower,
        &mut relay,
        options.kills,
        &mut progress,
    )
    .await?;
    progress.step(if drained {
        "drained: comparing outbox.message with what was consumed"
    } else {
        "NOT drained: comparing outbox.message with what was consumed all the same"
    });

    let answers = load.into_answers();
    let verdict = Verdict::reach(&servers, &follower, &answers, relay.killed()).await?;
    let mut output = std::io::stdout();
    write!(output, "\n{}", verdict.table())?;
    output.flush()?;
    if options.keep {
        write!(output, "{}", addresses(&servers, &service, &relay))?;
        output.flush()?;
        // Ctrl-C ends this process, and that ends everything it started.
        std::future::pending::<()>().await;
    }
    relay.stop().await?;
    Ok(drained && verdict.is_as_promised())
}

/// Waits until the slot stands behind the last commit and everything is consumed; false when that
/// does not come about, and the table will tell what is missing.
async fn drain(
    servers: &Servers,
    load: &Load,
    follower: &Follower,
    relay: &mut Relay,
    kills: u32,
    progress: &mut Progress,
) -> anyhow::Result<bool> {
    let admin = servers.admin().await?;
    let (committed, _) = load.counts();
    let end = text(&admin, "select pg_current_wal_insert_lsn()::text").await?;
    let confirmed = format!(
        "select (confirmed_flush_lsn >= '{end}')::text from pg_replication_slots
         where slot_name = '{}'",
        Relay::slot()
    );
    let started = Instant::now();
    let mut confirmed_at = None;
    while started.elapsed() < DRAIN_MAX {
        relay.turn(load.started().elapsed()).await?;
        if confirmed_at.is_none() && text(&admin, &confirmed).await? == "true" {
            confirmed_at = Some(Instant::now());
        }
        // The relay is done: what does not arrive now never will.
        if let Some(confirmed_at) = confirmed_at {
            if follower.count() >= committed {
                return Ok(true);
            }
            if confirmed_at.elapsed() > ARRIVAL_MAX {
                return Ok(false);
            }
        }
        progress.show(&standing(load, follower, relay, kills));
        tokio::time::sleep(TURN).await;
    }
    Ok(false)
}

async fn text(client: &Client, sql: &str) -> anyhow::Result<String> {
    let row = client.query_opt(sql, &[]).await?;
    let row = row.with_context(|| format!("no answer to: {sql}"))?;
    Ok(row.try_get(0)?)
}

fn standing(load: &Load, follower: &Follower, relay: &Relay, kills: u32) -> String {
    let (committed, rolled_back) = load.counts();
    let consumed = follower.count();
    let behind = committed.saturating_sub(consumed);
    let up = if relay.is_up() { "up" } else { "killed" };
    let killed = relay.killed();
    format!(
        "committed {committed:>7}  rolled back {rolled_back:>6}  consumed {consumed:>7}  \
         behind {behind:>6}  relay {up:<6}  kills {killed}/{kills}"
    )
}

fn addresses(servers: &Servers, service: &Service, relay: &Relay) -> String {
    let configuration = relay.configuration().display();
    format!(
        "\nEverything is still running; Ctrl-C ends it.\n\
         orders service   http://{}   log in {}\n\
         relay            {}/status   log in {}\n\
         its settings     outbox-sidecar -c {configuration} status\n\
         PostgreSQL       {}   (the service: {})\n\
         broker           {}   destination {DESTINATION}\n",
        service.address,
        service.directory().display(),
        relay.http(),
        relay.directory().display(),
        servers.admin_url(),
        servers.url(SERVICE_ROLE),
        servers.outlet.address(),
    )
}
