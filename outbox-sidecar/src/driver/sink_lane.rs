use std::sync::{Arc, mpsc};
use std::thread;

use outbox_core::relay::{Event, Ticket};
use outbox_core::sink::{Batch, Sink};
use tokio::sync::mpsc::UnboundedSender;

use crate::failpoint::failpoint_over;

/// The thread that owns the sink: its calls block, and come one at a time.
///
/// The relay asks for at most a few things at once, so that the queue needs no limit. Dropping the
/// lane lets the thread end after the call it is in; nobody waits for a broker that is away.
pub(crate) struct SinkLane {
    requests: mpsc::Sender<Request>,
}

pub(crate) enum Request {
    Peek(Ticket),
    Acquire(Ticket, u64),
    Publish(Ticket, Arc<Batch>),
    Release,
}

impl SinkLane {
    /// Starts the thread; answers arrive as events.
    pub(crate) fn start(
        mut sink: Box<dyn Sink>,
        answers: UnboundedSender<Event>,
    ) -> std::io::Result<Self> {
        let (requests, queue) = mpsc::channel();
        thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                while let Ok(request) = queue.recv() {
                    let answer = match request {
                        Request::Peek(ticket) => Event::Peeked(ticket, sink.peek()),
                        Request::Acquire(ticket, epoch) => {
                            Event::Acquired(ticket, sink.acquire(epoch))
                        }
                        Request::Publish(ticket, batch) => {
                            failpoint_over(&batch);
                            Event::Published(ticket, sink.publish(&batch))
                        }
                        Request::Release => {
                            sink.release();
                            continue;
                        }
                    };
                    if answers.send(answer).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self { requests })
    }

    /// Queues a request. A thread that panics takes the process with it (see `main.rs`).
    pub(crate) fn request(&self, request: Request) -> Result<(), SinkThreadEnded> {
        self.requests.send(request).map_err(|_| SinkThreadEnded)
    }
}

/// The sink's thread panicked.
#[derive(Debug, thiserror::Error)]
#[error("the sink's thread has ended: this is a bug")]
pub(crate) struct SinkThreadEnded;
