//! The order of the two parts, with parts that only record what they are asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Outcome, Sink};

use super::{AtLeastOnce, CheckpointStore, Publisher};
use crate::sink::rabbitmq::tests::support::batch_of;

/// What was asked, and what is answered next.
#[derive(Clone, Default)]
struct Part {
    asked: Arc<Mutex<Vec<&'static str>>>,
    answers: Arc<Mutex<VecDeque<Outcome>>>,
}

impl Part {
    fn ask(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }

    fn answer(&self) -> Outcome {
        let next = self.answers.lock().unwrap().pop_front();
        next.unwrap_or(Outcome::Durable)
    }
}

struct Messages(Part);

impl Publisher for Messages {
    fn acquire(&mut self) -> Result<(), AcquireError> {
        self.0.ask("publisher.acquire");
        Ok(())
    }

    fn publish(&mut self, _: &Batch) -> Outcome {
        self.0.ask("publish");
        self.0.answer()
    }

    fn settled(&mut self, _: &Checkpoint) {
        self.0.ask("settled");
    }

    fn release(&mut self) {
        self.0.ask("publisher.release");
    }
}

struct Store(Part);

impl CheckpointStore for Store {
    fn peek(&mut self) -> Result<Option<Checkpoint>, AcquireError> {
        self.0.ask("peek");
        Ok(None)
    }

    fn acquire(&mut self, _: u64) -> Result<Option<Checkpoint>, AcquireError> {
        self.0.ask("store.acquire");
        Ok(None)
    }

    fn write(&mut self, _: &Checkpoint) -> Outcome {
        self.0.ask("write");
        self.0.answer()
    }

    fn release(&mut self) {
        self.0.ask("store.release");
    }
}

/// What a publish asks for when the parts answer so, in this order.
fn asked_when(answers: impl IntoIterator<Item = Outcome>) -> (Vec<&'static str>, Outcome) {
    let part = Part {
        answers: Arc::new(Mutex::new(answers.into_iter().collect())),
        ..Part::default()
    };
    let mut sink = AtLeastOnce::new(Messages(part.clone()), Store(part.clone()));
    let outcome = sink.publish(&batch_of(1, &[None]));
    let asked = part.asked.lock().unwrap().clone();
    (asked, outcome)
}

fn retry() -> Outcome {
    Outcome::Retry {
        reason: String::new(),
    }
}

#[test]
fn the_checkpoint_is_written_once_every_message_is_confirmed_and_never_before() {
    let (asked, outcome) = asked_when([]);
    assert_eq!(asked, ["publish", "write", "settled"]);
    assert_eq!(outcome, Outcome::Durable);

    let (asked, outcome) = asked_when([retry()]);
    assert_eq!(asked, ["publish"]);
    assert_eq!(outcome, retry());

    let (asked, _) = asked_when([Outcome::Poison(Vec::new())]);
    assert_eq!(asked, ["publish"]);
}

#[test]
fn what_is_confirmed_is_settled_only_by_its_checkpoint() {
    let (asked, outcome) = asked_when([Outcome::Durable, retry()]);
    assert_eq!(asked, ["publish", "write"]);
    assert_eq!(outcome, retry());
}

#[test]
fn a_checkpoint_that_must_be_written_again_does_not_send_its_messages_again() {
    let part = Part {
        answers: Arc::new(Mutex::new([Outcome::Durable, retry()].into())),
        ..Part::default()
    };
    let mut sink = AtLeastOnce::new(Messages(part.clone()), Store(part.clone()));
    let batch = batch_of(1, &[None]);
    assert_eq!(sink.publish(&batch), retry());
    assert_eq!(sink.publish(&batch), Outcome::Durable);
    let asked = part.asked.lock().unwrap().clone();
    assert_eq!(asked, ["publish", "write", "write", "settled"]);
    // Another batch is another matter, and so is the same one for a new holder.
    sink.publish(&batch_of(2, &[None]));
    part.answers
        .lock()
        .unwrap()
        .extend([Outcome::Durable, retry()]);
    let batch = batch_of(3, &[None]);
    sink.publish(&batch);
    sink.acquire(2).unwrap();
    sink.publish(&batch);
    let asked = part.asked.lock().unwrap().clone();
    let published = asked.iter().filter(|what| **what == "publish").count();
    assert_eq!(published, 4);
}

#[test]
fn whoever_is_fenced_in_one_part_gives_up_both() {
    let fenced = Outcome::Fenced {
        reason: String::new(),
    };
    let (asked, _) = asked_when([Outcome::Durable, fenced]);
    let released = ["publisher.release", "store.release"];
    assert_eq!(asked, [&["publish", "write"][..], &released].concat());
    let lost = Outcome::Indefinite {
        reason: String::new(),
    };
    let (asked, _) = asked_when([lost]);
    assert_eq!(asked, [&["publish"][..], &released].concat());
}

#[test]
fn the_publisher_is_acquired_before_the_checkpoint_is_read() {
    let part = Part::default();
    let mut sink = AtLeastOnce::new(Messages(part.clone()), Store(part.clone()));
    sink.acquire(1).unwrap();
    assert_eq!(
        *part.asked.lock().unwrap(),
        ["publisher.acquire", "store.acquire"]
    );
}
