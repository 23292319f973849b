mod inspecting;
mod upkeep;

use std::time::Instant;

use outbox_core::relay::{Claim, Event, FailureKind, Holder, SourceFailure, Stop, Ticket};
use outbox_core::schema::SchemaName;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio_postgres::Client;
use uuid::Uuid;

use super::claim::Writer;
use super::connect;
use super::connection::bounded;
use super::gauges::{GAUGES_INTERVAL, Gauges, GaugesReader};
use super::relay_row::{MadeFor, record_hold};
use super::stuck_statement::{self, StuckStatement};
use crate::source::connection::Address;
use crate::source::slot::terminate_holder;

/// What the SQL side needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ControlSettings {
    pub(crate) address: Address,
    pub(crate) application_name: String,
    pub(crate) schema: SchemaName,
    pub(crate) relay: String,
    pub(crate) slot: String,
    pub(crate) publication: String,
    pub(crate) made_for: MadeFor,
    /// Tells this process from every other that holds the relay.
    pub(crate) run: Uuid,
}

impl ControlSettings {
    fn writer(&self) -> Writer<'_> {
        Writer {
            schema: &self.schema,
            relay: &self.relay,
            slot: &self.slot,
            run: self.run,
        }
    }
}

/// A request to the SQL side.
pub(crate) enum Request {
    Inspect(Ticket),
    Reconnect,
    ClaimEpoch(Ticket, i32),
    TerminateHolder(Ticket, Holder),
    Stuck(StuckStatement),
    NoteSurvival,
    NoteEnd(NotedEnd, oneshot::Sender<()>),
    RecordHold(Stop, oneshot::Sender<Result<(), SourceFailure>>),
}

/// See the action of the same name.
pub(crate) struct NotedEnd {
    pub(crate) claim: Claim,
    pub(crate) forget_tries: bool,
}

/// The task that owns the connection for SQL. It connects when asked, and says so when a
/// connection that it had is lost: a server that shuts down ends it first.
#[derive(Debug)]
pub(crate) struct ControlLane {
    requests: UnboundedSender<Request>,
    gauges: GaugesReader,
}

impl ControlLane {
    /// Starts the task; answers arrive as events.
    pub(crate) fn start(settings: ControlSettings, answers: UnboundedSender<Event>) -> Self {
        let (requests, queue) = unbounded_channel();
        let (publish, gauges) = watch::channel(Gauges::default());
        let task = Task {
            settings,
            answers,
            client: None,
            owes_survival: false,
            gauges: publish,
            partitions_at: None,
            waiting_at: None,
        };
        tokio::spawn(task.run(queue));
        Self { requests, gauges }
    }

    pub(crate) fn request(&self, request: Request) {
        // The task ends with this lane and not before.
        let _ = self.requests.send(request);
    }

    pub(crate) const fn gauges(&self) -> &GaugesReader {
        &self.gauges
    }
}

/// Whether a statement that notes this process was carried out.
const fn was_noted(answer: &Event) -> bool {
    matches!(
        answer,
        Event::TryNoted(_, Ok(_)) | Event::ParkedLoaded(_, Ok(_))
    )
}

struct Task {
    settings: ControlSettings,
    answers: UnboundedSender<Event>,
    client: Option<Client>,
    /// That this process lives could not be noted.
    owes_survival: bool,
    gauges: watch::Sender<Gauges>,
    partitions_at: Option<Instant>,
    waiting_at: Option<Instant>,
}

impl Task {
    async fn run(mut self, mut queue: UnboundedReceiver<Request>) {
        let mut ticks = tokio::time::interval(GAUGES_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                request = queue.recv() => match request {
                    Some(request) => {
                        self.serve(request).await;
                        self.note_survival_if_owed().await;
                    }
                    None => return,
                },
                // Only on a connection that exists: whether to connect is the relay's decision.
                _ = ticks.tick(), if self.client.is_some() => {
                    let read = self.keep_up().await;
                    if let Err(failure) = &read {
                        tracing::debug!(%failure, "reading gauges");
                    }
                    self.let_go_unless(&read);
                }
            }
        }
    }

    async fn serve(&mut self, request: Request) {
        let answer = match request {
            Request::Inspect(ticket) => {
                let inspected = self.inspect().await;
                self.let_go_unless(&inspected);
                // The name may stand for another server by now: it is looked up anew.
                if inspected.as_ref().is_ok_and(|found| found.in_recovery) {
                    self.client = None;
                }
                Event::Inspected(ticket, inspected)
            }
            Request::Reconnect => {
                self.client = None;
                return;
            }
            Request::ClaimEpoch(ticket, walsender_pid) => {
                let claimed = self.claim(walsender_pid).await;
                self.let_go_unless(&claimed);
                Event::EpochClaimed(ticket, claimed)
            }
            Request::TerminateHolder(ticket, holder) => {
                let terminated = self.terminate(&holder).await;
                self.let_go_unless(&terminated);
                Event::HolderTerminated(ticket, terminated)
            }
            Request::NoteSurvival => {
                self.owes_survival = true;
                return;
            }
            Request::NoteEnd(end, done) => {
                self.owes_survival = true;
                self.note_end(&end).await;
                let _ = done.send(());
                return;
            }
            Request::Stuck(statement) => {
                let notes_this_process = statement.notes_this_process();
                let settings = self.settings.clone();
                let carried_out = statement.carry_out(self.client().await, settings.writer());
                let (answer, is_of_use) = carried_out.await;
                if !is_of_use {
                    self.client = None;
                }
                // What was noted now is newer than what was still to be taken back.
                self.owes_survival &= !(notes_this_process && was_noted(&answer));
                answer
            }
            Request::RecordHold(stop, done) => {
                let recorded = self.record(&stop).await;
                self.let_go_unless(&recorded);
                let _ = done.send(recorded);
                return;
            }
        };
        // Without a driver nobody wants the answer.
        let _ = self.answers.send(answer);
    }

    /// A connection on which an answer did not come is not asked again.
    fn let_go_unless<T>(&mut self, answered: &Result<T, SourceFailure>) {
        if !stuck_statement::answered(answered) {
            self.client = None;
        }
    }

    async fn client(&mut self) -> Result<&mut Client, SourceFailure> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = None;
            let answers = self.answers.clone();
            let on_end = move || {
                let _ = answers.send(Event::ControlLost);
            };
            let settings = &self.settings;
            self.client =
                Some(connect(&settings.address, &settings.application_name, on_end).await?);
        }
        self.client.as_mut().ok_or_else(|| SourceFailure {
            kind: FailureKind::Unreachable,
            message: "no connection".to_owned(),
        })
    }

    async fn claim(&mut self, walsender_pid: i32) -> Result<u64, SourceFailure> {
        let settings = self.settings.clone();
        let client = self.client().await?;
        let epoch = settings.writer().claim_epoch(client, walsender_pid).await?;
        self.partitions_at = None;
        Ok(epoch)
    }

    async fn terminate(&mut self, holder: &Holder) -> Result<(), SourceFailure> {
        let client = self.client().await?;
        bounded(
            "ending a silent walsender",
            terminate_holder(client, holder),
        )
        .await
        .map(|_| ())
    }

    async fn record(&mut self, stop: &Stop) -> Result<(), SourceFailure> {
        let settings = self.settings.clone();
        let client = self.client().await?;
        record_hold(client, &settings.schema, &settings.relay, stop).await
    }

    /// A holder ends or lets go. What cannot be noted is not worth waiting for: the next start is slow.
    async fn note_end(&mut self, end: &NotedEnd) {
        let settings = self.settings.clone();
        let noted = match self.client().await {
            Ok(client) => {
                let writer = settings.writer();
                writer.end_here(client, end.claim, end.forget_tries).await
            }
            Err(failure) => Err(failure),
        };
        match &noted {
            Ok(true) => self.owes_survival = false,
            // Somebody else has it by now, or the slot alone is gone.
            Ok(false) => {}
            Err(failure) => tracing::debug!(%failure, "noting the end of a holder"),
        }
        self.let_go_unless(&noted);
    }

    /// Only on a connection that exists: the next request makes one.
    async fn note_survival_if_owed(&mut self) {
        let settings = self.settings.clone();
        let Some(client) = self.client.as_ref().filter(|_| self.owes_survival) else {
            return;
        };
        let noted = settings.writer().survive(client).await;
        self.owes_survival = noted.is_err();
        self.let_go_unless(&noted);
    }
}

#[cfg(test)]
mod tests;
