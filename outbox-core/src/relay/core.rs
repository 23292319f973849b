use std::collections::VecDeque;
use std::time::Duration;

use super::active::Active;
use super::backoff::Backoff;
use super::settings::STANDBY_INTERVAL;
use super::{
    Action, FailureKind, HaltedMessage, Notice, Now, Settings, SourceFailure, Stop, Ticket,
};
use crate::RequestId;
use crate::checkpoint::Checkpoint;
use crate::sink::AcquireError;

/// What every phase shares: settings, the present moment, and the way out for actions.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) now: Now,
    pub(super) random: fastrand::Rng,
    /// PostgreSQL has answered an inspection of this process.
    pub(super) ever_inspected: bool,
    ever_active: bool,
    /// Between looks at a server that does not answer; succeeds with an answer.
    pub(super) inspection_backoff: Backoff,
    /// Between attempts to be active; like the sink's it succeeds with a durable batch.
    pub(super) source_backoff: Backoff,
    /// Succeeds with a durable batch, not with the right to publish: that may be all that is granted.
    pub(super) sink_backoff: Backoff,
    pub(super) actions: VecDeque<Action>,
    tickets: u64,
    pub(super) drain_until: Option<Duration>,
    /// The checkpoint that came with the right to publish, and was newer than the one that the log was
    /// compared with: the next activation begins with it.
    pub(super) acquired: Option<Checkpoint>,
    /// What the logical messages begin with that are meant for this relay.
    pub(super) request_prefix: String,
}

/// Where to go from a phase that ends.
#[derive(Debug)]
pub(super) enum Next {
    Standby { after: Duration },
    Activate,
    Active(Box<Active>),
    Held(HaltedMessage),
    Stop(Stop),
}

impl Core {
    pub(super) fn new(settings: Settings, seed: u64, now: Now) -> Self {
        Self {
            inspection_backoff: Backoff::new(settings.retry),
            source_backoff: Backoff::new(settings.retry),
            sink_backoff: Backoff::new(settings.retry),
            request_prefix: RequestId::prefix(&settings.name),
            settings,
            now,
            random: fastrand::Rng::with_seed(seed),
            ever_inspected: false,
            ever_active: false,
            actions: VecDeque::new(),
            tickets: 0,
            drain_until: None,
            acquired: None,
        }
    }

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
        self.report(Notice::Active { epoch });
    }

    /// The replication connection, or what must come before it, failed us.
    pub(super) fn source_lost(&mut self, failure: SourceFailure) -> Next {
        match self.end_of(&failure) {
            Some(stop) => Next::Stop(stop),
            None => self.retry_source(failure),
        }
    }

    /// A look at the server failed.
    pub(super) fn inspection_failed(&mut self, failure: SourceFailure) -> Next {
        match self.end_of(&failure) {
            Some(stop) => Next::Stop(stop),
            None => self.retry_inspection(failure),
        }
    }

    /// What no retry mends: it depends on the kind, and on whether this process was ever active.
    fn end_of(&self, failure: &SourceFailure) -> Option<Stop> {
        let message = || failure.message.clone();
        match failure.kind {
            FailureKind::SlotMissing => Some(Stop::SlotMissing),
            FailureKind::SlotInvalidated => Some(Stop::SlotLost(message())),
            FailureKind::PublicationMissing => Some(Stop::PublicationMissing(message())),
            FailureKind::PublicationUnfit => Some(Stop::PublicationDiffers(message())),
            FailureKind::Protocol => Some(Stop::Protocol(message())),
            FailureKind::AuthenticationRefused
            | FailureKind::PrivilegeRefused
            | FailureKind::SchemaOutdated
            | FailureKind::NotLogical
                if !self.ever_active =>
            {
                Some(Stop::Refused(message()))
            }
            _ => None,
        }
    }

    pub(super) fn retry_source(&mut self, failure: SourceFailure) -> Next {
        let retry_in = self.source_backoff.fail(&mut self.random);
        self.later(failure, retry_in)
    }

    pub(super) fn retry_inspection(&mut self, failure: SourceFailure) -> Next {
        let retry_in = self.inspection_backoff.fail(&mut self.random);
        self.later(failure, retry_in)
    }

    fn later(&mut self, failure: SourceFailure, retry_in: Duration) -> Next {
        self.report(Notice::SourceTrouble { failure, retry_in });
        Next::Standby { after: retry_in }
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

    /// The broker will not let a relay publish that it has let publish before: rights or a password
    /// changed. Whoever mends that need not come here, too.
    pub(super) fn sink_refused(&mut self, reason: String) -> Next {
        let retry_in = self.sink_backoff.fail(&mut self.random);
        self.report(Notice::SinkTrouble {
            kind: "refused",
            reason,
            retry_in,
        });
        Next::Standby { after: retry_in }
    }

    pub(super) fn acquire_failed(&mut self, error: AcquireError) -> Next {
        match error {
            AcquireError::Unavailable(reason) | AcquireError::Fenced(reason) => self.fenced(reason),
            AcquireError::CheckpointMissing(reason) => Next::Stop(Stop::CheckpointMissing(reason)),
            AcquireError::CheckpointCorrupt(reason) => Next::Stop(Stop::CheckpointCorrupt(reason)),
            AcquireError::TwoWriters(reason) => Next::Stop(Stop::TwoWriters(reason)),
            AcquireError::Fatal(reason) if self.ever_active => self.sink_refused(reason),
            AcquireError::Fatal(reason) => Next::Stop(Stop::Refused(reason)),
        }
    }
}
