//! The only place where source, relay and sink meet: performs the relay's actions and feeds it
//! with what happens.

mod notices;
mod sink_lane;
mod stuck_notices;

use std::time::{Duration, Instant, SystemTime};

use outbox_core::Timestamp;
use outbox_core::relay::{Action, Claim, Event, Now, Relay, Settings, Stop, Ticket};
use outbox_core::sink::Sink;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout_at;

use self::notices::Notices;
use self::sink_lane::SinkLane;
use crate::control::{
    self, ControlLane, ControlSettings, NotedEnd, PartLimits, StuckStatement, What,
};
use crate::phantoms::PhantomReader;
use crate::report::Report;
use crate::source::replication::{LaneSettings, ReplicationLane, no_thread};

/// The longest the driver sleeps: it shows that it is alive even when nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The longest to try to note a hold in the database before the process ends: what shows it may vanish.
const RECORD_HOLD_MAX: Duration = Duration::from_secs(30);

/// The pause between two tries.
const RECORD_HOLD_PAUSE: Duration = Duration::from_millis(500);

/// The same for a holder's end: it is worth a short wait, since the slot is still ours.
const NOTE_END_MAX: Duration = Duration::from_secs(2);

/// Everything a relay needs to run.
pub(crate) struct DriverSettings {
    pub(crate) relay: Settings,
    pub(crate) replication: LaneSettings,
    pub(crate) control: ControlSettings,
    /// Finds what was published and lost by the database.
    pub(crate) phantoms: PhantomReader,
    /// Decides the jitter of delays.
    pub(crate) seed: u64,
}

/// A relay at work.
pub(crate) struct Driver {
    relay: Relay,
    started: Instant,
    replication_settings: LaneSettings,
    replication: Option<ReplicationLane>,
    control: ControlLane,
    sink: SinkLane,
    /// Answers of SQL and sink, of a replication thread that could not be started, and of whoever reads
    /// the broker back.
    answers: UnboundedReceiver<Event>,
    late_answers: tokio::sync::mpsc::UnboundedSender<Event>,
    phantoms: PhantomReader,
    notices: Notices,
    reports: watch::Sender<Report>,
}

impl Driver {
    /// Prepares a relay; nothing is contacted before [`Driver::run`].
    pub(crate) fn new(settings: DriverSettings, sink: Box<dyn Sink>) -> std::io::Result<Self> {
        let started = Instant::now();
        let (answer, answers) = unbounded_channel();
        let name = settings.relay.name.clone();
        let relay = Relay::new(settings.relay, settings.seed, now(started));
        let (reports, _) = watch::channel(Report::starting(&name, relay.status()));
        Ok(Self {
            relay,
            started,
            replication_settings: settings.replication,
            replication: None,
            control: ControlLane::start(settings.control, answer.clone()),
            sink: SinkLane::start(sink, answer.clone())?,
            answers,
            late_answers: answer,
            phantoms: settings.phantoms,
            notices: Notices::default(),
            reports,
        })
    }

    /// Where the relay's state can be read.
    pub(crate) fn reports(&self) -> watch::Receiver<Report> {
        self.reports.subscribe()
    }

    /// Runs until the relay stops, and says why it did. `drain` completes when the process is
    /// asked to end.
    pub(crate) async fn run(mut self, drain: impl Future<Output = ()>) -> Stop {
        tokio::pin!(drain);
        let mut draining = false;
        loop {
            while let Some(action) = self.relay.next_action() {
                if let Some(stop) = self.perform(action).await {
                    self.report();
                    return stop;
                }
            }
            self.report();
            let woken = tokio::select! {
                biased;
                () = &mut drain, if !draining => {
                    draining = true;
                    Some(Event::Drain)
                }
                Some(event) = self.answers.recv() => Some(event),
                event = next_of(&mut self.replication, self.relay.has_room()) => {
                    Some(event)
                }
                () = tokio::time::sleep(HEARTBEAT) => None,
                () = until(self.started, self.relay.deadline()) => Some(Event::Tick),
            };
            if let Some(event) = woken {
                self.notices.event(&event);
                self.relay.handle(now(self.started), event);
            }
        }
    }

    /// Carries out one action; returns why to stop when that is the action.
    async fn perform(&mut self, action: Action) -> Option<Stop> {
        use control::Request as Sql;
        use sink_lane::Request;
        match action {
            Action::Inspect(ticket) => self.control.request(Sql::Inspect(ticket)),
            Action::ClaimEpoch(ticket, pid) => self.control.request(Sql::ClaimEpoch(ticket, pid)),
            Action::ReconnectSql => self.control.request(Sql::Reconnect),
            Action::TerminateHolder(ticket, holder) => {
                self.control.request(Sql::TerminateHolder(ticket, holder));
            }
            Action::LoadParked {
                ticket,
                claim,
                system_id,
                frontier,
                stuck_writes,
                sequence,
            } => {
                let what = What::Load {
                    system_id,
                    frontier,
                    stuck_writes,
                    sequence,
                };
                self.about_stuck(ticket, claim, what);
            }
            Action::Park {
                ticket,
                claim,
                cluster,
                messages,
            } => self.about_stuck(ticket, claim, What::Park { cluster, messages }),
            Action::TakeRequest {
                ticket,
                claim,
                system_id,
                request: place,
                from,
                messages_max,
                bytes_max,
            } => {
                let limits = PartLimits {
                    from,
                    messages_max,
                    bytes_max,
                };
                let what = What::Take {
                    system_id,
                    place,
                    limits,
                };
                self.about_stuck(ticket, claim, what);
            }
            Action::PutBack {
                ticket,
                claim,
                request,
                refused,
                through,
            } => {
                let what = What::PutBack {
                    request,
                    refused,
                    through,
                };
                self.about_stuck(ticket, claim, what);
            }
            Action::FinishRequest {
                ticket,
                claim,
                request,
            } => self.about_stuck(ticket, claim, What::Finish { request }),
            Action::NoteTry {
                ticket,
                claim,
                batch,
            } => self.about_stuck(ticket, claim, What::Try { batch }),
            Action::NoteSurvival => self.control.request(Sql::NoteSurvival),
            Action::NoteEnd {
                claim,
                forget_tries,
            } => {
                let end = NotedEnd {
                    claim,
                    forget_tries,
                };
                self.note_end(end).await;
            }
            Action::RecordHold(stop) => self.record_hold(stop).await,
            Action::Connect(ticket) => self.connect(ticket),
            Action::StartReplication(ticket) => {
                if let Some(replication) = &mut self.replication {
                    replication.start(ticket);
                }
            }
            Action::Confirm(lsn) => {
                if let Some(replication) = &self.replication {
                    replication.confirmed().confirm(lsn);
                }
            }
            Action::AskForKeepalive(ask) => {
                if let Some(replication) = &self.replication {
                    replication.confirmed().ask_for_keepalive(ask);
                }
            }
            Action::CloseStream => {
                if let Some(replication) = self.replication.take() {
                    replication.close().await;
                }
            }
            Action::PeekCheckpoint(ticket) => return self.sink(Request::Peek(ticket)),
            Action::Acquire(ticket, epoch) => return self.sink(Request::Acquire(ticket, epoch)),
            Action::Publish(ticket, batch) => {
                self.notices.publishing();
                return self.sink(Request::Publish(ticket, batch));
            }
            Action::ListPhantoms(ticket, phantoms) => {
                let (reader, answers) = (self.phantoms.clone(), self.late_answers.clone());
                tokio::spawn(async move {
                    let list = reader.list(&phantoms).await;
                    // Without a driver nobody wants the answer.
                    let _ = answers.send(Event::PhantomsListed(ticket, list));
                });
            }
            Action::ReleaseSink => return self.sink(Request::Release),
            Action::Report(notice) => self.notices.notice(&notice),
            Action::Stop(stop) => return Some(stop),
        }
        None
    }

    fn about_stuck(&self, ticket: Ticket, claim: Claim, what: What) {
        let statement = StuckStatement {
            ticket,
            claim,
            what,
        };
        self.control.request(control::Request::Stuck(statement));
    }

    fn sink(&self, request: sink_lane::Request) -> Option<Stop> {
        let ended = self.sink.request(request).err()?;
        Some(Stop::Invariant(ended.to_string()))
    }

    fn connect(&mut self, ticket: Ticket) {
        match ReplicationLane::connect(self.replication_settings.clone(), ticket) {
            Ok(lane) => self.replication = Some(lane),
            Err(error) => {
                // The receiver is our own.
                let _ = self
                    .late_answers
                    .send(Event::Connected(ticket, Err(no_thread(&error))));
            }
        }
    }

    async fn record_hold(&mut self, stop: Stop) {
        let until = tokio::time::Instant::now() + RECORD_HOLD_MAX;
        let mut last = "no answer".to_owned();
        loop {
            // A restart in the middle of this would lose the exit code.
            self.report();
            let (done, recorded) = oneshot::channel();
            self.control
                .request(control::Request::RecordHold(stop.clone(), done));
            match timeout_at(until, recorded).await {
                Ok(Ok(Ok(()))) => return,
                Ok(Ok(Err(failure))) => last = failure.to_string(),
                // The task has ended, or time has.
                Ok(Err(_)) | Err(_) => break,
            }
            let pause = tokio::time::sleep(RECORD_HOLD_PAUSE);
            if timeout_at(until, pause).await.is_err() {
                break;
            }
        }
        tracing::error!(failure = %last, "cannot note in outbox.relay why the relay is held");
    }

    async fn note_end(&self, end: NotedEnd) {
        let (done, noted) = oneshot::channel();
        self.control.request(control::Request::NoteEnd(end, done));
        let _ = tokio::time::timeout(NOTE_END_MAX, noted).await;
    }

    fn report(&mut self) {
        let status = self.relay.status();
        let gauges = self.control.gauges().borrow().clone();
        let notices = &self.notices;
        self.reports.send_modify(|report| {
            report.made_at = Instant::now();
            report.status = status;
            report.gauges = gauges;
            notices.fill(report);
        });
    }
}

fn now(started: Instant) -> Now {
    Now {
        monotonic: started.elapsed(),
        wall: Timestamp::from(SystemTime::now()),
    }
}

async fn next_of(replication: &mut Option<ReplicationLane>, has_room: bool) -> Event {
    match replication {
        Some(lane) => lane.next(has_room).await,
        None => std::future::pending().await,
    }
}

async fn until(started: Instant, deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until((started + deadline).into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
