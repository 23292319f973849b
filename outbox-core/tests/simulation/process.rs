use std::collections::VecDeque;
use std::time::Duration;

use outbox_core::relay::{
    Action, BackoffLimits, BatchLimits, Event, FailureKind, GoneLimits, Now, Relay, Settings,
    StreamEvent, StuckPolicy,
};

use super::server::timestamp;

/// A relay process: the state machine, and what its driver has to do for it.
#[derive(Debug)]
pub(crate) struct Process {
    /// Tells it from every other process there ever was.
    pub(crate) run: u32,
    /// `None` while it does not run.
    pub(crate) relay: Option<Relay>,
    pub(crate) frozen: bool,
    /// No packet goes to or comes from PostgreSQL.
    pub(crate) cut_source: bool,
    /// No packet goes to or comes from the broker.
    pub(crate) cut_broker: bool,
    /// The server that its address leads to.
    pub(crate) route: usize,
    pub(crate) sql: Lane,
    pub(crate) replication: Lane,
    pub(crate) sink: Lane,
    pub(crate) sql_connected: bool,
    pub(crate) connection: Option<Connection>,
    /// The log of the newest connection.
    pub(crate) log: usize,
    /// The producer epoch that its sink holds.
    pub(crate) epoch: Option<u64>,
    pub(crate) asking: bool,
    pub(crate) held: bool,
    /// It lives, and could not say so to the database.
    pub(crate) owes_survival: bool,
    /// An answer that will come once more.
    pub(crate) echo: Option<Event>,
}

/// Requests to one side, carried out one after the other: first the deed, later the answer.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// With the log that the relay read when it asked.
    pub(crate) queue: VecDeque<(Action, usize)>,
    pub(crate) answer: Option<Event>,
}

/// The client's end of a replication connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) server: usize,
    pub(crate) log: usize,
    pub(crate) pid: i32,
    pub(crate) inbound: VecDeque<StreamEvent>,
    pub(crate) broken: Option<FailureKind>,
    /// Whether it ever had the slot.
    pub(crate) started: bool,
    /// A confirmation on its way to the server.
    pub(crate) status: Option<u64>,
}

impl Process {
    pub(crate) fn new(route: usize) -> Self {
        Self {
            run: 0,
            relay: None,
            frozen: false,
            cut_source: false,
            cut_broker: false,
            route,
            sql: Lane::default(),
            replication: Lane::default(),
            sink: Lane::default(),
            sql_connected: false,
            connection: None,
            log: 0,
            epoch: None,
            asking: false,
            held: false,
            owes_survival: false,
            echo: None,
        }
    }

    pub(crate) fn start(&mut self, random: &mut fastrand::Rng, now: Duration, stuck: StuckPolicy) {
        *self = Self {
            cut_source: self.cut_source,
            cut_broker: self.cut_broker,
            ..Self::new(self.route)
        };
        self.run = random.u32(1..);
        let settings = settings(random, stuck);
        self.relay = Some(Relay::new(settings, random.u64(..), moment(now)));
    }

    /// Whether packets from PostgreSQL are answered.
    pub(crate) fn hears_source(&self) -> bool {
        self.relay.is_some() && !self.frozen && !self.cut_source
    }
}

pub(crate) fn moment(now: Duration) -> Now {
    Now {
        monotonic: now,
        wall: timestamp(now),
    }
}

fn settings(random: &mut fastrand::Rng, stuck: StuckPolicy) -> Settings {
    let pick = |random: &mut fastrand::Rng, of: &[usize]| of[random.usize(..of.len())];
    Settings {
        name: "r".into(),
        batch: BatchLimits {
            messages_max: pick(random, &[1, 2, 3, 5, 1000]),
            bytes_max: pick(random, &[100, 400, 1000, 1 << 20]),
            transaction_max: Duration::from_millis(pick(random, &[0, 50, 5000]) as u64),
        },
        buffer_bytes_max: pick(random, &[100, 500, 2000, 1 << 20]),
        stuck,
        gone: GoneLimits {
            after: pick(random, &[1, 2, 20]) as u64,
            messages_max: pick(random, &[0, 1, 5, 1000]) as u64,
        },
        attempt_max: Duration::from_secs(pick(random, &[0, 1, 30]) as u64),
        retry: BackoffLimits {
            delay_min: Duration::from_millis(50),
            delay_max: Duration::from_secs(pick(random, &[1, 30]) as u64),
        },
        drain_max: Duration::from_secs(20),
    }
}
