use std::time::Duration;

use super::activation::Activation;
use super::active::Active;
use super::core::{Core, Next};
use super::standby::Standby;
use super::{Action, Event, Notice, Now, Phase, Settings, Status, Stop};

/// One relay: events go in, actions come out.
///
/// ```
/// use std::time::Duration;
/// use outbox_core::Timestamp;
/// use outbox_core::relay::{
///     Action, BackoffLimits, BatchLimits, Event, GoneLimits, Now, Relay, Settings, StuckPolicy,
/// };
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
///     stuck: StuckPolicy::ParkKey,
///     gone: GoneLimits { after: 20, messages_max: 1_000_000 },
///     attempt_max: Duration::from_secs(30),
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
    state: State,
}

#[derive(Debug)]
enum State {
    Standby(Standby),
    Activating(Box<Activation>),
    Active(Box<Active>),
    Held,
    Stopped,
}

impl Relay {
    /// A relay that stands by, and wants to look at the slot at once. The same seed and the same
    /// events give the same actions.
    #[must_use]
    pub fn new(settings: Settings, seed: u64, now: Now) -> Self {
        Self {
            state: State::Standby(Standby::starting_at(now.monotonic)),
            core: Core::new(settings, seed, now),
        }
    }

    /// Takes in what happened; afterwards [`Relay::next_action`] says what to do.
    pub fn handle(&mut self, now: Now, event: Event) {
        if matches!(self.state, State::Stopped) {
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
        let step = match &mut self.state {
            State::Standby(standby) => standby.handle(core, event),
            State::Activating(activation) => activation.handle(core, event),
            State::Active(active) => active.handle(core, event),
            State::Held if event == Event::Drain => Err(Next::Stop(Stop::Drained)),
            State::Held | State::Stopped => Ok(()),
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
        let phase = match &self.state {
            State::Standby(standby) => standby.deadline(),
            State::Activating(activation) => activation.deadline(),
            State::Active(active) => active.deadline(&self.core),
            State::Held => None,
            State::Stopped => return None,
        };
        [phase, self.core.drain_until].into_iter().flatten().min()
    }

    /// Whether more of the replication stream may be handed in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match &self.state {
            State::Activating(activation) => activation.has_room(),
            State::Active(active) => active.has_room(self.core.settings.buffer_bytes_max),
            _ => false,
        }
    }

    /// How far the relay is.
    #[must_use]
    pub fn status(&self) -> Status {
        let phase = match &self.state {
            State::Standby(_) if !self.core.ever_inspected => Phase::Starting,
            State::Standby(_) => Phase::Standby,
            State::Activating(_) => Phase::Activating,
            State::Active(active) => return active.status(),
            State::Held => Phase::Held,
            State::Stopped => Phase::Stopped,
        };
        Status::without_position(phase)
    }

    fn enter(&mut self, next: Next) {
        let forget_tries = matches!(next, Next::Held(_));
        let core = &mut self.core;
        // Whoever was asked to go neither stands by nor waits for an operator.
        let next = match next {
            Next::Standby { .. } | Next::Activate if core.drain_until.is_some() => {
                Next::Stop(Stop::Drained)
            }
            Next::Held(halted) if core.drain_until.is_some() => {
                core.report(Notice::Halted(halted));
                Next::Stop(Stop::Drained)
            }
            next => next,
        };
        let claim = match &self.state {
            State::Activating(activation) => activation.claim(),
            State::Active(active) => Some(active.claim),
            State::Standby(_) | State::Held | State::Stopped => None,
        };
        if matches!(self.state, State::Activating(_) | State::Active(_))
            && !matches!(next, Next::Active(_))
        {
            if let Some(claim) = claim {
                core.act(Action::NoteEnd {
                    claim,
                    forget_tries,
                });
            }
            core.act(Action::CloseStream);
            core.act(Action::ReleaseSink);
        }
        self.state = match next {
            Next::Standby { after } => {
                State::Standby(Standby::starting_at(core.now.monotonic + after))
            }
            Next::Activate => State::Activating(Box::new(Activation::start(core))),
            Next::Active(mut active) => {
                // What is owed is not put off until the stream says something: an idle server
                // speaks only when asked.
                let step = active.go_on(core);
                self.state = State::Active(active);
                return step.unwrap_or_else(|next| self.enter(next));
            }
            Next::Held(halted) => {
                core.report(Notice::Halted(halted));
                State::Held
            }
            Next::Stop(stop) => {
                if stop.must_be_remembered() {
                    core.act(Action::RecordHold(stop.clone()));
                }
                core.act(Action::Stop(stop));
                State::Stopped
            }
        };
    }
}
