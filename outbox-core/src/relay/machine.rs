use std::collections::VecDeque;
use std::time::Duration;

use super::activation::Activation;
use super::active::{Active, Flight};
use super::backoff::Backoff;
use super::settings::STANDBY_INTERVAL;
use super::standby::Standby;
use super::{
    Action, Event, FailureKind, Held, Notice, Now, Settings, SourceFailure, Status, Stop, Ticket,
};
use crate::sink::AcquireError;

/// One relay: events go in, actions come out.
///
/// ```
/// use std::time::Duration;
/// use outbox_core::Timestamp;
/// use outbox_core::relay::{Action, BackoffLimits, BatchLimits, Event, Now, Relay, Settings};
///
/// let now = Now { monotonic: Duration::ZERO, wall: Timestamp::default() };
/// let settings = Settings {
///     name: "policy".into(),
///     batch: BatchLimits {
///         messages_max: 10_000,
///         bytes_max: 8 << 20,
///         transaction_max: Duration::from_secs(5),
///     },
///     buffer_bytes_max: 16 << 20,
///     retry: BackoffLimits {
///         delay_min: Duration::from_millis(50),
///         delay_max: Duration::from_secs(30),
///     },
///     drain_max: Duration::from_secs(20),
/// };
/// let mut relay = Relay::new(settings, 42, now);
/// assert_eq!(relay.deadline(), Some(Duration::ZERO));
/// relay.handle(now, Event::Tick);
/// assert!(matches!(relay.next_action(), Some(Action::Inspect(_))));
/// ```
#[derive(Debug)]
pub struct Relay {
    core: Core,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Standby(Standby),
    Activating(Box<Activation>),
    Active(Box<Active>),
    Held,
    Stopped,
}

/// What every phase shares.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) now: Now,
    pub(super) random: fastrand::Rng,
    /// PostgreSQL has answered an inspection of this process.
    pub(super) ever_inspected: bool,
    ever_active: bool,
    source_backoff: Backoff,
    actions: VecDeque<Action>,
    tickets: u64,
    drain_until: Option<Duration>,
}

/// Where to go from a phase that ends.
#[derive(Debug)]
pub(super) enum Next {
    Standby { after: Duration },
    Activate,
    Active(Box<Active>),
    Held(Held),
    Stop(Stop),
}

impl Relay {
    /// A relay that stands by, and wants to look at the slot at once. The same seed and the same
    /// events give the same actions.
    #[must_use]
    pub fn new(settings: Settings, seed: u64, now: Now) -> Self {
        let source_backoff = Backoff::new(settings.retry);
        let core = Core {
            settings,
            now,
            random: fastrand::Rng::with_seed(seed),
            ever_inspected: false,
            ever_active: false,
            source_backoff,
            actions: VecDeque::new(),
            tickets: 0,
            drain_until: None,
        };
        Self {
            phase: Phase::Standby(Standby::starting_at(now.monotonic)),
            core,
        }
    }

    /// Takes in what happened; afterwards [`Relay::next_action`] says what to do.
    pub fn handle(&mut self, now: Now, event: Event) {
        if matches!(self.phase, Phase::Stopped) {
            return;
        }
        self.core.now = Now {
            monotonic: self.core.now.monotonic.max(now.monotonic),
            ..now
        };
        if event == Event::Drain && self.core.drain_until.is_none() {
            self.core.drain_until = Some(self.core.now.monotonic + self.core.settings.drain_max);
            self.core.report(Notice::Draining);
        }
        let core = &mut self.core;
        let step = match &mut self.phase {
            Phase::Standby(standby) => standby.handle(core, event),
            Phase::Activating(activation) => activation.handle(core, event),
            Phase::Active(active) => active.handle(core, event),
            Phase::Held if event == Event::Drain => Err(Next::Stop(Stop::Drained)),
            Phase::Held | Phase::Stopped => Ok(()),
        };
        let overdue = self
            .core
            .drain_until
            .is_some_and(|until| until <= self.core.now.monotonic);
        match step {
            Err(next) => self.enter(next),
            Ok(()) if overdue => self.enter(Next::Stop(Stop::Drained)),
            Ok(()) => {}
        }
    }

    /// What to do next; `None` when there is nothing until the next event.
    pub fn next_action(&mut self) -> Option<Action> {
        self.core.actions.pop_front()
    }

    /// When [`Event::Tick`] is due, on the monotonic clock; `None` when only events matter.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let phase = match &self.phase {
            Phase::Standby(standby) => standby.deadline(),
            Phase::Activating(activation) => activation.deadline(),
            Phase::Active(active) => active.deadline(&self.core),
            Phase::Held => None,
            Phase::Stopped => return None,
        };
        [phase, self.core.drain_until].into_iter().flatten().min()
    }

    /// Whether more of the replication stream may be handed in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match &self.phase {
            Phase::Active(active) => active.has_room(self.core.settings.buffer_bytes_max),
            _ => false,
        }
    }

    /// How far the relay is.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = Status {
            phase: match &self.phase {
                Phase::Standby(_) => "standby",
                Phase::Activating(_) => "activating",
                Phase::Active(active) if active.draining => "draining",
                Phase::Active(active) => match active.flight {
                    Flight::Recovering { .. } => "recovering",
                    _ => "active",
                },
                Phase::Held => "held",
                Phase::Stopped => "stopped",
            },
            frontier: None,
            confirmed: None,
            sequence: None,
            seen: None,
            cluster: None,
            buffer_bytes: 0,
            in_flight: 0,
            oldest_commit_time: None,
        };
        if let Phase::Active(active) = &self.phase {
            let batch = active.flight.batch();
            status.frontier = Some(active.progress.frontier());
            status.confirmed = Some(active.confirmed());
            status.sequence = Some(active.progress.sequence());
            status.seen = Some(active.progress.seen());
            status.cluster = Some(active.progress.cluster());
            status.buffer_bytes = active.buffer.bytes();
            status.in_flight = batch.map_or(0, |batch| batch.messages.len());
            status.oldest_commit_time = batch
                .and_then(|batch| batch.messages.first())
                .map(|delivery| delivery.commit_time)
                .or_else(|| active.buffer.oldest_commit_time());
        }
        status
    }

    fn enter(&mut self, next: Next) {
        let core = &mut self.core;
        // Whoever was asked to go neither stands by nor waits for an operator.
        let next = match next {
            Next::Standby { .. } | Next::Activate if core.drain_until.is_some() => {
                Next::Stop(Stop::Drained)
            }
            Next::Held(held) if core.drain_until.is_some() => {
                core.report(Notice::Held(held));
                Next::Stop(Stop::Drained)
            }
            next => next,
        };
        if matches!(self.phase, Phase::Activating(_) | Phase::Active(_))
            && !matches!(next, Next::Active(_))
        {
            core.act(Action::CloseStream);
            core.act(Action::ReleaseSink);
        }
        self.phase = match next {
            Next::Standby { after } => {
                Phase::Standby(Standby::starting_at(core.now.monotonic + after))
            }
            Next::Activate => Phase::Activating(Box::new(Activation::start(core))),
            Next::Active(mut active) => {
                // What is owed is not put off until the stream says something: an idle server
                // speaks only when asked.
                let step = active.go_on(core);
                self.phase = Phase::Active(active);
                return step.unwrap_or_else(|next| self.enter(next));
            }
            Next::Held(held) => {
                core.report(Notice::Held(held));
                Phase::Held
            }
            Next::Stop(stop) => {
                if stop.must_be_remembered() {
                    core.act(Action::RecordHold(stop.clone()));
                }
                core.act(Action::Stop(stop));
                Phase::Stopped
            }
        };
    }
}

impl Active {
    fn handle(&mut self, core: &mut Core, event: Event) -> Result<(), Next> {
        match event {
            Event::Drain => self.draining = true,
            Event::Stream(events) => {
                for event in events {
                    self.stream(core, event)?;
                }
            }
            Event::StreamEnded(failure) => return Err(core.source_lost(failure)),
            // Lost again while a question is open: its answer may be older than the loss.
            Event::ControlLost => {
                let ticket = core.ticket();
                core.act(Action::Inspect(ticket));
                self.health = Some(ticket);
            }
            Event::Inspected(ticket, result) => self.inspected(core, ticket, result)?,
            Event::Acquired(ticket, result) => self.acquired(core, ticket, result)?,
            Event::Published(ticket, outcome) => self.published(core, ticket, outcome)?,
            _ => {}
        }
        self.recover_when_due(core);
        self.go_on(core)
    }
}

impl Flight {
    fn batch(&self) -> Option<&crate::sink::Batch> {
        match self {
            Self::Free => None,
            Self::Publishing { batch, .. }
            | Self::Waiting { batch, .. }
            | Self::Recovering { batch, .. } => Some(batch),
        }
    }
}

impl Core {
    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn report(&mut self, notice: Notice) {
        self.act(Action::Report(notice));
    }

    pub(super) const fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Between 75 % and 125 % of the interval: relays of one name do not move in step.
    pub(super) fn jitter(&mut self, interval: Duration) -> Duration {
        interval.mul_f64(0.75 + self.random.f64() / 2.0)
    }

    pub(super) fn became_active(&mut self, epoch: u64) {
        self.ever_active = true;
        self.source_backoff.succeed();
        self.report(Notice::Active { epoch });
    }

    /// PostgreSQL failed us: what that means depends on the kind, and on whether we ever ran.
    pub(super) fn source_lost(&mut self, failure: SourceFailure) -> Next {
        match failure.kind {
            FailureKind::SlotMissing => Next::Stop(Stop::SlotMissing),
            FailureKind::SlotInvalidated => Next::Stop(Stop::SlotLost(failure.message)),
            FailureKind::PublicationMissing => {
                Next::Stop(Stop::PublicationMissing(failure.message))
            }
            FailureKind::PublicationUnfit => Next::Stop(Stop::PublicationDiffers(failure.message)),
            FailureKind::Protocol => Next::Stop(Stop::Protocol(failure.message)),
            FailureKind::AuthenticationRefused
            | FailureKind::PrivilegeRefused
            | FailureKind::NotLogical
                if !self.ever_active =>
            {
                Next::Stop(Stop::Refused(failure.message))
            }
            _ => self.retry_source(failure),
        }
    }

    pub(super) fn retry_source(&mut self, failure: SourceFailure) -> Next {
        let after = self.source_backoff.fail(&mut self.random);
        self.report(Notice::SourceTrouble {
            failure,
            retry_in: after,
        });
        Next::Standby { after }
    }

    /// The server goes down and waits for us to let go.
    pub(super) fn server_stops(&mut self, reason: &str) -> Next {
        self.retry_source(SourceFailure {
            kind: FailureKind::ServerShutdown,
            message: format!("the server is shutting down: {reason}"),
        })
    }

    /// Another relay was faster.
    pub(super) fn beaten(&mut self, reason: String) -> Next {
        self.report(Notice::StandingBy { reason });
        Next::Standby {
            after: self.jitter(STANDBY_INTERVAL),
        }
    }

    /// Another relay fenced us. Never take the right to publish back at once: two relays would
    /// throw each other out for ever.
    pub(super) fn fenced(&mut self, reason: String) -> Next {
        self.report(Notice::Fenced { reason });
        Next::Standby {
            after: self.jitter(STANDBY_INTERVAL * 2),
        }
    }

    pub(super) fn acquire_failed(&mut self, error: AcquireError) -> Next {
        match error {
            AcquireError::Unavailable(reason) | AcquireError::Fenced(reason) => self.fenced(reason),
            AcquireError::CheckpointMissing(reason) => Next::Stop(Stop::CheckpointMissing(reason)),
            AcquireError::CheckpointCorrupt(reason) => Next::Stop(Stop::CheckpointCorrupt(reason)),
            AcquireError::TwoWriters(reason) => Next::Stop(Stop::TwoWriters(reason)),
            AcquireError::Fatal(reason) if self.ever_active => Next::Held(Held::Sink(reason)),
            AcquireError::Fatal(reason) => Next::Stop(Stop::Refused(reason)),
        }
    }
}
