use std::collections::BTreeMap;
use std::time::Duration;

use outbox_core::MessageId;
use outbox_core::relay::{Event, FailureKind, StuckPolicy};
use outbox_core::sink::RefusalReason;

use super::broker::Broker;
use super::disasters::Snapshot;
use super::log::Logs;
use super::process::{Process, moment};
use super::server::Server;
use super::starts::Starts;

/// Servers, broker and relay processes of one name, and everything that may befall them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: fastrand::Rng,
    pub(crate) now: Duration,
    pub(crate) logs: Logs,
    pub(crate) servers: Vec<Server>,
    pub(crate) broker: Broker,
    pub(crate) processes: Vec<Process>,
    pub(crate) plan: Plan,
    pub(crate) rows: u32,
    pub(crate) requests: u32,
    pub(crate) pids: i32,
    pub(crate) snapshot: Option<Snapshot>,
    /// A relay ended for a reason that the world gave it.
    pub(crate) stopped: bool,
    /// Some server was told why no relay may run.
    pub(crate) ever_held: bool,
    /// Somebody laid hand on a slot.
    pub(crate) slot_dropped: bool,
    pub(crate) slot_moved: bool,
    /// The rows that the broker refuses.
    pub(crate) poison: Vec<u32>,
    /// The rows that end the process which hands them to the broker.
    pub(crate) crashing: Vec<u32>,
    /// The messages that processes ended over, as far as the database knows.
    pub(crate) given_up: Vec<MessageId>,
    /// The runs that ended while the database held a note of theirs that they need not have left.
    pub(crate) idle_deaths: Vec<u32>,
    /// How often a process ended over a message; since faults stopped, once they have.
    pub(crate) crashes: u32,
    pub(crate) is_ending: bool,
    pub(crate) trace: bool,
    /// How often what happened, by name.
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

/// What can go wrong in this run: some runs are calm, so that others do not drown everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: u32,
    /// How many of 100 steps are faults.
    pub(crate) faults: u32,
    /// How many of 100 broker answers are not `Durable`.
    pub(crate) broker_faults: u32,
    /// How many of 40 faults are those that a relay must notice.
    pub(crate) disasters: u32,
    /// How many of 100 steps are transactions of a service; a quiet outbox has other dangers.
    pub(crate) writes: u32,
    /// How many of 100 steps are requests of an operator.
    pub(crate) asks: u32,
    pub(crate) walsender_timeout: Duration,
    pub(crate) stuck: StuckPolicy,
    /// Why the broker refuses.
    pub(crate) refuses: RefusalReason,
    /// A broker that is away only ever says "later".
    pub(crate) patient_sink: bool,
}

pub(crate) type Checked = Result<(), String>;

impl World {
    pub(crate) fn new(seed: u64, trace: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let plan = Plan {
            steps: random.u32(100..2500),
            faults: [0, 1, 3, 8][random.usize(..4)],
            broker_faults: [0, 5, 30][random.usize(..3)],
            disasters: [0, 0, 1, 6][random.usize(..4)],
            writes: [1, 3, 8][random.usize(..3)],
            asks: [0, 1, 3][random.usize(..3)],
            patient_sink: random.bool(),
            walsender_timeout: Duration::from_secs([4, 60][random.usize(..2)]),
            refuses: [RefusalReason::TooLarge, RefusalReason::DestinationMissing]
                [random.usize(..2)],
            stuck: [StuckPolicy::Halt, StuckPolicy::ParkKey, StuckPolicy::Park][random.usize(..3)],
        };
        let now = Duration::from_secs(100);
        let mut processes: Vec<_> = (0..random.usize(1..=3)).map(|_| Process::new(0)).collect();
        for process in &mut processes {
            process.start(&mut random, now, plan.stuck);
        }
        let mut server = Server::new();
        if random.u8(..4) == 0 {
            server.starts = Starts::shaky();
        }
        Self {
            plan,
            now,
            processes,
            logs: Logs::new(),
            servers: vec![server],
            broker: Broker::new(),
            rows: 0,
            requests: 0,
            pids: 0,
            snapshot: None,
            stopped: false,
            ever_held: false,
            slot_dropped: false,
            slot_moved: false,
            poison: poison(&mut random, plan.stuck),
            crashing: crashing(&mut random, plan.stuck),
            given_up: Vec::new(),
            idle_deaths: Vec::new(),
            crashes: 0,
            is_ending: false,
            trace,
            seen: BTreeMap::new(),
            random,
        }
    }

    pub(crate) fn primary(&self) -> usize {
        self.servers.len() - 1
    }

    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub(crate) fn one_of(&mut self, choices: &[u32]) -> u32 {
        choices[self.random.usize(..choices.len())]
    }

    pub(crate) fn chance(&mut self, of_100: u32) -> bool {
        self.random.u32(..100) < of_100
    }

    /// One thing that can happen, happens.
    pub(crate) fn step(&mut self) -> Checked {
        if self.chance(self.plan.faults) {
            return self.fault();
        }
        let process = self.random.usize(..self.processes.len());
        if self.chance(self.plan.writes) {
            self.write();
            return Ok(());
        }
        if self.chance(self.plan.asks) {
            self.ask();
            return Ok(());
        }
        match self.random.u32(..100) {
            0..3 => self.write_foreign(),
            3 => self.echo(process)?,
            4..15 => {
                let count = self.random.usize(1..10);
                self.send(process, count);
            }
            15..26 => {
                let count = self.random.usize(1..20);
                self.receive(process, count)?;
            }
            26..42 => drop(self.sql(process)?),
            42..52 => drop(self.replication(process)?),
            52..76 => drop(self.sink(process)?),
            76..81 => self.status(process),
            81..87 => self.keepalive(process),
            87..92 => self.work(process)?,
            _ => {
                let ms = self.one_of(&[0, 1, 20, 100, 400, 1000, 3000]);
                self.pass(Duration::from_millis(u64::from(ms)));
                for process in 0..self.processes.len() {
                    if self.chance(80) {
                        self.tick(process)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// An answer arrives a second time, or so late that nobody waits for it any more.
    fn echo(&mut self, process: usize) -> Checked {
        let client = &mut self.processes[process];
        match client.echo.take_if(|_| !client.frozen) {
            Some(answer) => self.handle(process, answer),
            None => Ok(()),
        }
    }

    /// Everything goes well for a while.
    fn work(&mut self, process: usize) -> Checked {
        for _ in 0..self.random.u32(1..12) {
            self.sql(process)?;
            self.replication(process)?;
            self.sink(process)?;
            self.send(process, 5);
            self.receive(process, 5)?;
            self.tick(process)?;
            self.status(process);
        }
        Ok(())
    }

    pub(crate) fn tick(&mut self, process: usize) -> Result<bool, String> {
        let client = &self.processes[process];
        let due = client
            .relay
            .as_ref()
            .and_then(|relay| relay.deadline())
            .is_some_and(|deadline| deadline <= self.now);
        if due && !client.frozen {
            self.handle(process, Event::Tick)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Time goes by: whoever answers has answered, whoever does not is dropped by the server.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        // A healthy client's reply was seen to stand still for so long.
        const STILL_MAX: Duration = Duration::from_millis(1500);
        let (now, timeout) = (self.now, self.plan.walsender_timeout);
        for server in &mut self.servers {
            for sender in &mut server.walsenders {
                let stale = now - sender.reply >= STILL_MAX;
                if stale
                    && self.processes.get(sender.client).is_some_and(|client| {
                        client.hears_source()
                            && client.connection.as_ref().is_some_and(|connection| {
                                connection.pid == sender.pid && connection.broken.is_none()
                            })
                    })
                {
                    sender.reply = now;
                }
            }
        }
        for server in 0..self.servers.len() {
            self.end_walsenders(server, FailureKind::Unreachable, |sender| {
                sender.reply + timeout < now
            });
        }
    }

    pub(crate) fn handle(&mut self, process: usize, event: Event) -> Checked {
        if self.trace {
            eprintln!("{:?} r{process} <- {event:?}", self.now);
        }
        let answers = matches!(
            event,
            Event::Inspected(..) | Event::Acquired(..) | Event::Published(..) | Event::Peeked(..)
        );
        if answers && self.random.u8(..20) == 0 {
            self.processes[process].echo = Some(event.clone());
        }
        let now = moment(self.now);
        if let Some(relay) = &mut self.processes[process].relay {
            relay.handle(now, event);
        }
        while let Some(action) = self.processes[process]
            .relay
            .as_mut()
            .and_then(outbox_core::relay::Relay::next_action)
        {
            self.act(process, action)?;
        }
        Ok(())
    }
}

/// Most runs have none. A relay that halts needs one; one that goes on may meet many.
fn poison(random: &mut fastrand::Rng, stuck: StuckPolicy) -> Vec<u32> {
    const ROWS: u32 = 200;
    match (stuck, random.u32(..40)) {
        (StuckPolicy::Halt, 38..) => vec![5],
        (StuckPolicy::Halt, _) | (_, ..20) => Vec::new(),
        (_, ..25) => vec![5],
        _ => {
            let of = [4, 20][random.usize(..2)];
            (0..ROWS).filter(|_| random.u32(..of) == 0).collect()
        }
    }
}

/// Few runs have such rows: they hold everything else up.
fn crashing(random: &mut fastrand::Rng, stuck: StuckPolicy) -> Vec<u32> {
    const ROWS: u32 = 60;
    match (stuck, random.u32(..40)) {
        (StuckPolicy::Halt, 39..) => vec![7],
        (StuckPolicy::Halt, _) | (_, ..34) => Vec::new(),
        (_, ..37) => vec![7],
        _ => (0..ROWS).filter(|_| random.u32(..8) == 0).collect(),
    }
}
