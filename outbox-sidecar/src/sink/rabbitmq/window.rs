//! The messages that are on their way: sent, and not confirmed for good yet.

use std::collections::HashSet;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Error};
use outbox_core::MessageId;

/// A message ready for the wire.
pub(super) struct Outgoing {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) payload: Bytes,
    pub(super) properties: BasicProperties,
}

/// What a message's confirm turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The broker has it.
    Confirmed,
    /// No queue takes it: the broker sent it back, and confirmed that.
    Returned,
    /// The broker could not take it this time.
    Refused,
}

type Answer = (usize, Result<Confirmation, Error>);
type OnItsWay = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Confirms on their way back.
///
/// lapin hands a returned message to whichever confirm it completes next, not to the message's
/// own, and completes the confirms of one `multiple` acknowledgement in no order, on a thread of
/// its own. So a returned message is known by its id, and a confirm that is not followed by a
/// return is believed only once every confirm that came with it has been looked at too: after a
/// later publish (which waits for the lock under which they are completed), or when none is left.
#[derive(Default)]
pub(super) struct Window {
    on_the_way: FuturesUnordered<OnItsWay>,
    /// Confirms that were seen, but are not believed yet.
    seen: Vec<(usize, bool)>,
    returned: HashSet<MessageId>,
    failure: Option<Error>,
}

impl Window {
    /// Hands a message to lapin, which sends in the order of these calls.
    pub(super) fn send(&mut self, channel: &Channel, index: usize, message: Outgoing) {
        let channel = channel.clone();
        let mut sending: OnItsWay = Box::pin(async move {
            let options = BasicPublishOptions {
                mandatory: true,
                immediate: false,
            };
            let sent = channel.basic_publish(
                message.exchange,
                message.routing_key,
                options,
                &message.payload,
                message.properties,
            );
            let answer = match sent.await {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            (index, answer)
        });
        // The first poll queues its frames; the window's own polls come in any order.
        let mut context = Context::from_waker(Waker::noop());
        match sending.as_mut().poll(&mut context) {
            Poll::Ready(answer) => self.take(answer),
            Poll::Pending => self.on_the_way.push(sending),
        }
    }

    /// Looks at every confirm that has come, and returns what may be believed. `published` says
    /// that something was sent since the last look or wait.
    pub(super) fn look(
        &mut self,
        published: bool,
        id_of: impl Fn(usize) -> Option<MessageId>,
    ) -> Vec<(usize, Verdict)> {
        let seen_before = self.seen.len();
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(answer)) = Pin::new(&mut self.on_the_way).poll_next(&mut context)
        {
            self.take(answer);
        }
        let count = if self.on_the_way.is_empty() {
            self.seen.len()
        } else if published {
            seen_before
        } else {
            0
        };
        let verdict = |(index, acknowledged): (usize, bool)| {
            let returned = id_of(index).is_some_and(|id| self.returned.contains(&id));
            let verdict = match (returned, acknowledged) {
                (true, _) => Verdict::Returned,
                (false, true) => Verdict::Confirmed,
                (false, false) => Verdict::Refused,
            };
            (index, verdict)
        };
        let believed = self.seen.drain(..count).map(verdict).collect();
        // Until then an id stays: a caller may have enqueued it twice, and lapin does not say which
        // of the two came back. Afterwards the same message may find its queue.
        if self.on_the_way.is_empty() {
            self.returned.clear();
        }
        believed
    }

    /// Waits for one more confirm.
    pub(super) async fn wait(&mut self) {
        if let Some(answer) = self.on_the_way.next().await {
            self.take(answer);
        }
    }

    /// How many confirms were seen and are not believed yet: these messages are not with us any
    /// more, and take no room from others.
    pub(super) fn unbelieved(&self) -> usize {
        self.seen.len()
    }

    /// Nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.on_the_way.is_empty()
    }

    /// Why confirms will not come any more.
    pub(super) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    fn take(&mut self, (index, answer): Answer) {
        match answer {
            Ok(confirmation) => {
                self.seen.push((index, confirmation.is_ack()));
                if let Some(message) = confirmation.take_message()
                    && let Some(id) = message.properties.message_id()
                    && let Ok(id) = id.as_str().parse()
                {
                    self.returned.insert(id);
                }
            }
            Err(error) => self.failure = Some(error),
        }
    }
}
