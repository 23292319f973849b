//! From a commit at the client to a read_committed consumer, at a quiet pace.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use outbox_core::{Message, Outbox};
use tokio::time::{Interval, MissedTickBehavior};
use uuid::Uuid;

use crate::listener::Listener;
use crate::servers::Servers;
use crate::sidecar::Sidecar;

const PAYLOAD_BYTES: usize = 300;
/// Transactions a second while the broker warms up.
const WARM_UP_PER_SECOND: u32 = 500;
/// The last part of the warm-up goes at the pace that is measured.
const SETTLING: Duration = Duration::from_secs(2);
/// Longest time for the arrival of the last messages.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);
const KEYS: u64 = 20;

/// What is inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencyPlan {
    /// Transactions a second, a row each.
    pub per_second: u32,
    /// For how long, warm-up not counted.
    pub length: Duration,
    /// How long the broker gets load before: a Java machine that has just started interprets its
    /// code, and ten transactions a second would never get it compiled.
    pub warm_up: Duration,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// Each message's, shortest first: from the return of COMMIT to the record in the consumer's
    /// hands, both by the clock of this process.
    pub sorted: Vec<Duration>,
    /// The relay's share of one processor meanwhile, 0 to the number of processors.
    pub cpu_share: f64,
    /// The most memory of the relay that was resident at one time, in bytes.
    pub resident_bytes_max: u64,
}

impl LatencyPlan {
    /// Carries it out with a relay of its own.
    ///
    /// # Errors
    /// When a server or the relay fails, or a message does not arrive.
    pub async fn run(self, servers: &Servers) -> anyhow::Result<Latency> {
        let place = servers.make_place().await?;
        let mut sidecar = Sidecar::set_up(servers, &place).await?;
        let listener = Listener::start(servers, &place.topic)?;
        sidecar.activate().await?;

        let mut client = servers.client(&place.database).await?;
        let outbox = Outbox::new();
        let payload = "x".repeat(PAYLOAD_BYTES);
        let mut committed: HashMap<Uuid, Instant> = HashMap::new();
        let began = Instant::now();
        let mut measured_from = None;
        let mut ticks = pace(self.per_second.max(WARM_UP_PER_SECOND));
        let mut warm = false;
        for number in 0_u64.. {
            if !warm && began.elapsed() >= self.warm_up {
                warm = true;
                ticks = pace(self.per_second);
            }
            ticks.tick().await;
            let elapsed = began.elapsed();
            if elapsed >= self.warm_up + SETTLING && measured_from.is_none() {
                measured_from = Some((Instant::now(), sidecar.usage()?));
            }
            if elapsed >= self.warm_up + SETTLING + self.length {
                break;
            }
            let message = Message::new(&place.topic, "OrderPlaced")
                .key(number % KEYS)
                .text(payload.clone());
            let tx = client.transaction().await?;
            let id = outbox.enqueue(&tx, message).await?;
            tx.commit().await?;
            let now = Instant::now();
            // Those of the warm-up arrive all the same, and are not looked for.
            if measured_from.is_some() {
                committed.insert(id.into(), now);
            }
        }
        let (from, before) = measured_from.unwrap_or((began, sidecar.usage()?));
        let usage = sidecar.usage()?;
        let seconds = from.elapsed().as_secs_f64();
        let cpu = usage.cpu.saturating_sub(before.cpu).as_secs_f64();

        let mut sorted = Vec::with_capacity(committed.len());
        while !committed.is_empty() {
            let Some(arrival) = listener.next(ARRIVAL_MAX) else {
                bail!(
                    "{} messages did not arrive within {ARRIVAL_MAX:?}",
                    committed.len()
                );
            };
            if let Some(at) = committed.remove(&arrival.id) {
                // It may arrive before COMMIT has returned to us.
                sorted.push(arrival.at.saturating_duration_since(at));
            }
        }
        sorted.sort_unstable();
        sidecar.stop().await?;
        drop(client);
        servers.clear_place(&place).await?;
        Ok(Latency {
            sorted,
            cpu_share: cpu / seconds,
            resident_bytes_max: usage.resident_bytes_max,
        })
    }
}

fn pace(per_second: u32) -> Interval {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
