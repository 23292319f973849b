//! One batch: what may go out goes out, what comes back is taken in, until nothing is left.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use lapin::types::ShortString;
use outbox_core::sink::{Batch, Outcome, RefusalReason};
use outbox_core::{Frontier, MessageId, Position};
use tokio::time::{Instant, timeout, timeout_at};

use super::attempt::Attempt;
use super::destinations::Destinations;
use super::errors::{refusal_reason, reply};
use super::message::{message_bytes, properties};
use super::routing::{Routing, Target};
use super::session::{ANSWER_MAX, Session};
use super::settings::RabbitSettings;
use super::window::{Outgoing, Verdict, Window};

/// How long one call works on a batch before it hands control back.
const CALL_MAX: Duration = Duration::from_secs(5);
/// How long no confirm at all may come, while the broker does not say that it is blocked.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long a message must come back before it is believed that no queue takes it: a broker that
/// has just started may take connections earlier than messages.
const MISSING_PATIENCE: Duration = Duration::from_secs(3);
/// How many targets are remembered whose messages came back; past it the memory starts afresh.
const MISSING_MAX: usize = 10_000;
/// Before a message that the broker could not take goes again.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);

/// What the sink keeps from call to call.
#[derive(Default)]
pub(super) struct Publishing {
    attempt: Option<Attempt>,
    window: Window,
    /// Confirmed messages that no checkpoint covers yet: when they come again, they are not sent
    /// again. With their ids, since after a fail-over a position may be another message's.
    confirmed: HashSet<(Position, MessageId)>,
    destinations: Destinations,
    /// Where messages came back from, and since when.
    missing: HashMap<Target, Instant>,
    last_confirm: Option<Instant>,
}

/// Why a call ended before its batch did.
enum Halt {
    /// The same call again goes on.
    Later(String),
    /// The connection is of no use any more.
    Lost(String),
}

impl Publishing {
    /// Sends what is left of the batch, within [`CALL_MAX`].
    pub(super) async fn publish(
        &mut self,
        session: &mut Session,
        settings: &RabbitSettings,
        routing: &Routing,
        batch: &Batch,
    ) -> Outcome {
        let sequence = batch.checkpoint.sequence;
        let mut attempt = match self.attempt.take() {
            Some(attempt) if attempt.sequence == sequence => attempt,
            _ => Attempt::new(batch, &self.confirmed),
        };
        if !session.is_open() {
            let reason = "the connection is closed".to_owned();
            return Outcome::Indefinite { reason };
        }
        let deadline = Instant::now() + CALL_MAX;
        let work = Work {
            settings,
            routing,
            batch,
            deadline,
        };
        let ended = self.work(session, &work, &mut attempt).await;
        match ended {
            Ok(()) => {
                self.remember(batch, &attempt);
                let refused = attempt.into_refused();
                if refused.is_empty() {
                    Outcome::Durable
                } else {
                    Outcome::Poison(refused)
                }
            }
            Err(Halt::Later(reason)) => {
                self.attempt = Some(attempt);
                Outcome::Retry { reason }
            }
            Err(Halt::Lost(reason)) => {
                self.remember(batch, &attempt);
                Outcome::Indefinite { reason }
            }
        }
    }

    /// The connection is gone, and with it what was known through it; what was confirmed stays.
    pub(super) fn disconnected(&mut self) {
        self.attempt = None;
        self.window = Window::default();
        self.destinations.forget();
        self.missing.clear();
        self.last_confirm = None;
    }

    fn remember(&mut self, batch: &Batch, attempt: &Attempt) {
        let places = attempt.confirmed().iter();
        let confirmed = places.filter_map(|place| batch.messages.get(*place));
        self.confirmed
            .extend(confirmed.map(|delivery| (delivery.position, delivery.row.id)));
    }

    /// What lies before the frontier will not come again.
    pub(super) fn settled(&mut self, frontier: Frontier) {
        self.confirmed
            .retain(|(position, _)| !frontier.covers(*position));
    }

    async fn work(
        &mut self,
        session: &mut Session,
        work: &Work<'_>,
        attempt: &mut Attempt,
    ) -> Result<(), Halt> {
        loop {
            let published = self.send(session, work, attempt).await?;
            let put_off = self.take_in(published, work, attempt);
            if let Some(error) = self.window.take_failure() {
                self.failed(session, work, attempt, &error).await?;
                continue;
            }
            if attempt.is_over() {
                return Ok(());
            }
            if put_off > 0 {
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
            if Instant::now() >= work.deadline {
                let reason = why_later(session.is_blocked(), attempt.put_off());
                return Err(Halt::Later(reason));
            }
            if !published && !self.window.is_empty() {
                self.wait(session, work).await?;
            } else if self.window.is_empty() && session.is_blocked() {
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
        }
    }

    /// Takes in what has come back; returns how many messages the broker could not take this time.
    fn take_in(&mut self, published: bool, work: &Work<'_>, attempt: &mut Attempt) -> usize {
        let mut put_off = 0;
        for (index, verdict) in self.window.look(published, |index| work.id(index)) {
            self.last_confirm = Some(Instant::now());
            match verdict {
                Verdict::Confirmed => {
                    self.found(work, index);
                    attempt.confirm(index);
                }
                Verdict::Returned if self.is_new(work, index) => {
                    attempt.repeat(index);
                    put_off += 1;
                }
                Verdict::Returned => {
                    let text = unroutable(work.target(index).as_ref());
                    attempt.refuse(index, RefusalReason::DestinationMissing, text);
                }
                Verdict::Refused => {
                    attempt.repeat(index);
                    put_off += 1;
                }
            }
        }
        put_off
    }

    /// Whether its target has not been missing for long.
    fn is_new(&mut self, work: &Work<'_>, index: usize) -> bool {
        let Some(target) = work.target(index) else {
            return false;
        };
        if self.missing.len() >= MISSING_MAX {
            self.missing.clear();
        }
        let since = self.missing.entry(target).or_insert_with(Instant::now);
        since.elapsed() < MISSING_PATIENCE
    }

    /// Its target takes messages.
    fn found(&mut self, work: &Work<'_>, index: usize) {
        if !self.missing.is_empty()
            && let Some(target) = work.target(index)
        {
            self.missing.remove(&target);
        }
    }

    /// Waits for a confirm, not past the call's end.
    async fn wait(&mut self, session: &Session, work: &Work<'_>) -> Result<(), Halt> {
        let waiting_since = *self.last_confirm.get_or_insert_with(Instant::now);
        if timeout_at(work.deadline, self.window.wait()).await.is_ok() {
            self.last_confirm = Some(Instant::now());
            return Ok(());
        }
        if session.is_blocked() {
            self.last_confirm = None;
        } else if waiting_since.elapsed() > SILENCE_MAX {
            return Err(Halt::Lost(format!(
                "no confirm for {} s",
                SILENCE_MAX.as_secs()
            )));
        }
        Ok(())
    }

    /// Sends what may go out; says whether anything did.
    async fn send(
        &mut self,
        session: &Session,
        work: &Work<'_>,
        attempt: &mut Attempt,
    ) -> Result<bool, Halt> {
        let mut published = false;
        while !session.is_blocked()
            && let Some(index) =
                attempt.next(work.settings.unconfirmed_max + self.window.unbelieved())
        {
            match self.outgoing(session, work, index).await {
                Ok(Ok(message)) => {
                    self.window.send(session.channel(), index, message);
                    published = true;
                }
                Ok(Err((reason, text))) => attempt.refuse(index, reason, text),
                Err(text) => {
                    attempt.repeat(index);
                    return Err(Halt::Lost(text));
                }
            }
        }
        Ok(published)
    }

    /// The message of a row, or why it will not be taken.
    async fn outgoing(
        &mut self,
        session: &Session,
        work: &Work<'_>,
        index: usize,
    ) -> Result<Result<Outgoing, (RefusalReason, String)>, String> {
        let Some(delivery) = work.batch.messages.get(index) else {
            return Err("a message that is not in the batch was to be sent".to_owned());
        };
        let row = &delivery.row;
        let (bytes, limit) = (message_bytes(row), work.settings.message_bytes_max);
        if bytes > limit {
            let text =
                format!("the message has {bytes} bytes, limits.message_bytes_max allows {limit}");
            return Ok(Err((RefusalReason::TooLarge, text)));
        }
        let frame_bytes_max = session.frame_bytes_max();
        let prepared = work.routing.target(row).and_then(|target| {
            let timeline = work.batch.checkpoint.timeline;
            Ok((target, properties(delivery, timeline, frame_bytes_max)?))
        });
        let (target, properties) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let create = work.settings.create_queues;
        let looked_up = self
            .destinations
            .look_up(session.connection(), &target, create);
        if let Some(refusal) = looked_up.await? {
            return Ok(Err(refusal));
        }
        Ok(Ok(Outgoing {
            exchange: ShortString::from(target.exchange),
            routing_key: ShortString::from(target.routing_key),
            payload: row.payload.clone().unwrap_or_else(Bytes::new),
            properties,
        }))
    }

    /// A channel that the broker closed over one message is opened anew, and the message found;
    /// everything else is the connection's end.
    async fn failed(
        &mut self,
        session: &mut Session,
        work: &Work<'_>,
        attempt: &mut Attempt,
        error: &lapin::Error,
    ) -> Result<(), Halt> {
        if !error.is_amqp_soft_error() {
            return Err(Halt::Lost(error.to_string()));
        }
        // lapin gives every other message of the channel the same error, at once.
        while !self.window.is_empty() {
            if timeout(ANSWER_MAX, self.window.wait()).await.is_err() {
                return Err(Halt::Lost(error.to_string()));
            }
        }
        self.take_in(false, work, attempt);
        self.window = Window::default();
        // An exchange may have gone: the next look-up says so.
        self.destinations.forget();
        if let Some(guilty) = attempt.channel_closed() {
            let refused = reply("publishing", error);
            let reason = refused.code.map_or(RefusalReason::Rejected, refusal_reason);
            attempt.refuse(guilty, reason, refused.text);
        }
        session
            .reopen_channel()
            .await
            .map_err(|error| Halt::Lost(error.to_string()))
    }
}

/// What one call works on.
struct Work<'a> {
    settings: &'a RabbitSettings,
    routing: &'a Routing,
    batch: &'a Batch,
    deadline: Instant,
}

impl Work<'_> {
    fn target(&self, index: usize) -> Option<Target> {
        let delivery = self.batch.messages.get(index)?;
        self.routing.target(&delivery.row).ok()
    }

    fn id(&self, index: usize) -> Option<MessageId> {
        let delivery = self.batch.messages.get(index)?;
        Some(delivery.row.id)
    }
}

/// Why a batch is not done when its call ends; `put_off` messages were not taken when they went last.
fn why_later(is_blocked: bool, put_off: usize) -> String {
    match (is_blocked, put_off) {
        (true, _) => "the broker blocks publishers: a memory or disk alarm".to_owned(),
        (false, 0) => "messages are not confirmed yet".to_owned(),
        (false, _) => {
            format!("the broker could not take {put_off} messages (nack, or no queue yet)")
        }
    }
}

fn unroutable(target: Option<&Target>) -> String {
    match target {
        Some(Target {
            exchange,
            routing_key,
        }) if !exchange.is_empty() => format!(
            "exchange {exchange:?} has no queue for routing key {routing_key:?} (returned as \
             unroutable)"
        ),
        _ => "no queue takes it (returned as unroutable)".to_owned(),
    }
}
