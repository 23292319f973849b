//! Simulates relays of one name against a PostgreSQL and a broker made of memory, under random
//! faults, and checks every invariant after each step. The same seed gives the same run.
//!
//! `OUTBOX_SIMULATION_SEED=n` runs exactly one seed and prints what happens;
//! `OUTBOX_SIMULATION_RUNS=n` says how many seeds are tried, `OUTBOX_SIMULATION_FIRST=n` from where.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test; the lints' own exception reaches only functions marked as tests"
)]

mod simulation {
    pub(crate) mod broker;
    pub(crate) mod crashes;
    pub(crate) mod disasters;
    pub(crate) mod driver;
    pub(crate) mod ending;
    pub(crate) mod faults;
    pub(crate) mod log;
    pub(crate) mod names;
    pub(crate) mod operator;
    pub(crate) mod parking;
    pub(crate) mod process;
    pub(crate) mod server;
    pub(crate) mod sides;
    pub(crate) mod starts;
    pub(crate) mod stream;
    pub(crate) mod stuck_table;
    pub(crate) mod world;
}

use std::collections::BTreeMap;

use simulation::world::World;

/// About as many as a debug build manages in 20 seconds.
const RUNS_DEFAULT: u64 = 40_000;

type Seen = BTreeMap<&'static str, u64>;

fn run(seed: u64, trace: bool) -> Result<Seen, String> {
    let mut world = World::new(seed, trace);
    for _ in 0..world.plan.steps {
        world.step()?;
    }
    world.end()?;
    Ok(world.seen)
}

fn add(all: &mut Seen, more: Seen) {
    for (what, count) in more {
        *all.entry(what).or_default() += count;
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_schedule_of_faults_breaks_an_invariant() {
    if let Some(seed) = number("OUTBOX_SIMULATION_SEED") {
        run(seed, true).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        return;
    }
    let runs = number("OUTBOX_SIMULATION_RUNS").unwrap_or(RUNS_DEFAULT);
    let first = number("OUTBOX_SIMULATION_FIRST").unwrap_or_else(|| fastrand::u64(..1 << 48));
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let started = std::time::Instant::now();
    let seen = std::thread::scope(|scope| {
        let part = |thread: u64| {
            let mut seen = Seen::new();
            for seed in (first + thread..first + runs).step_by(threads as usize) {
                let happened = run(seed, false).unwrap_or_else(|violation| {
                    panic!(
                        "{violation}\nrun {} of {runs}; again: OUTBOX_SIMULATION_SEED={seed}",
                        seed - first
                    )
                });
                add(&mut seen, happened);
            }
            seen
        };
        let parts: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || part(thread)))
            .collect();
        let mut seen = Seen::new();
        for part in parts {
            match part.join() {
                Ok(happened) => add(&mut seen, happened),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        seen
    });
    println!(
        "{runs} runs from seed {first}, {:.0} runs/s: {seen:#?}",
        runs as f64 / started.elapsed().as_secs_f64()
    );
}
