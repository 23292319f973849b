//! How many rounds it takes until every refused message of a large batch is known.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outbox_core::sink::{Batch, Outcome, Refusal, RefusalReason, Sink};

use super::broker::{self, Broker};
use super::reading::{committed, committed_payloads};
use super::support::{Relay, SOON, payloads, publish_surely};
use crate::sink::kafka::{CAREFUL_BATCHES, KafkaSink};

/// So many batches are enough for one producer to last as long as it should.
const BATCHES_MAX: u64 = 2000;

const MESSAGES: u32 = 10_000;
/// Every so many messages one is refused.
const REFUSED_EVERY: usize = 200;
/// What can be told beforehand, all others, and the commit; and three rounds for producers that
/// had to be replaced, because their transaction could not be added to at all, or because requests
/// behind a refused one cost a new epoch.
const ROUNDS_MAX: usize = 6;

/// Takes the batch to its end as the relay does, without what is refused. Returns what each round
/// ended in; the same call again after `Retry` or `Ongoing` is no round of its own.
fn rounds(sink: &mut KafkaSink, batch: &mut Batch) -> Vec<Outcome> {
    let deadline = Instant::now() + SOON;
    let mut rounds = Vec::new();
    while Instant::now() < deadline {
        let began = Instant::now();
        let outcome = sink.publish(batch);
        println!("{:?}: {}", began.elapsed(), text(&outcome));
        match &outcome {
            Outcome::Ongoing { .. } => continue,
            Outcome::Retry { .. } => {
                // The relay's shortest pause.
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            Outcome::Poison(refusals) => {
                for refusal in refusals.iter().rev() {
                    batch.messages.remove(refusal.batch_index);
                }
            }
            Outcome::Durable => {
                rounds.push(outcome);
                return rounds;
            }
            Outcome::Indefinite { .. } => drop(sink.acquire(1).unwrap()),
            Outcome::Abort { .. } => {}
            other => panic!("{other:?}"),
        }
        rounds.push(outcome);
    }
    panic!("no end after {} rounds", rounds.len());
}

fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Poison(refusals) => format!("poison: {}", refusals.len()),
        other => format!("{other:?}"),
    }
}

fn kinds(refusals: &[Refusal]) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for refusal in refusals {
        *kinds.entry(refusal.reason.as_str()).or_default() += 1;
    }
    kinds
}

fn poisoned(rounds: &[Outcome]) -> Vec<BTreeMap<&'static str, usize>> {
    let refusals = |outcome: &Outcome| match outcome {
        Outcome::Poison(refusals) => Some(kinds(refusals)),
        _ => None,
    };
    rounds.iter().filter_map(refusals).collect()
}

/// The destinations of a batch, one of a kind.
struct Topics {
    wide: String,
    narrow: String,
    compacted: String,
    forbidden: String,
    missing: String,
}

impl Topics {
    fn new(broker: &Broker, relay: &Relay) -> Self {
        let name = |kind: &str| format!("{}-{kind}", relay.topic);
        let topics = Self {
            wide: name("wide"),
            narrow: name("narrow"),
            compacted: name("compacted"),
            forbidden: name("forbidden"),
            missing: name("missing"),
        };
        relay.create_topic(&topics.wide, 3, &[]);
        // Takes no request of the usual size at all, whatever is in it.
        relay.create_topic(&topics.narrow, 3, &[("max.message.bytes", "20000")]);
        relay.create_topic(&topics.compacted, 2, &[("cleanup.policy", "compact")]);
        relay.create_topic(&topics.forbidden, 3, &[]);
        broker.forbid_writes(&topics.forbidden);
        topics
    }
}

/// 10,000 messages, 50 of them refused: ten of each of five kinds, spread evenly.
fn batch_with_refused(relay: &Relay, topics: &Topics) -> Batch {
    let mut batch = relay.batch(1, MESSAGES);
    for (index, delivery) in batch.messages.iter_mut().enumerate() {
        let row = &mut delivery.row;
        let good = [
            &relay.topic,
            &topics.wide,
            &topics.narrow,
            &topics.compacted,
        ];
        row.destination = good[index % 4].as_str().into();
        if index % REFUSED_EVERY != REFUSED_EVERY / 2 {
            continue;
        }
        match index / REFUSED_EVERY % 5 {
            0 => {
                row.destination = topics.wide.as_str().into();
                row.payload = Some(vec![b'x'; 1_200_000].into());
            }
            1 => {
                row.destination = topics.narrow.as_str().into();
                row.payload = Some(vec![b'x'; 30_000].into());
            }
            2 => {
                row.destination = topics.compacted.as_str().into();
                row.key = None;
            }
            3 => row.destination = topics.forbidden.as_str().into(),
            _ => row.destination = topics.missing.as_str().into(),
        }
    }
    batch
}

#[test]
fn a_producer_of_single_requests_gives_way_to_a_faster_one_after_a_while() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let (mut batches, mut of_producer) = (0, 0);
    while of_producer < CAREFUL_BATCHES + 5 {
        if of_producer == 0 {
            // As after a roll-back of unknown outcome.
            sink.isolation.suspect(&relay.topic.as_str().into());
            sink.acquire(1).unwrap();
        }
        batches += 1;
        assert!(batches < BATCHES_MAX, "no producer lasts");
        let stayed = publish_surely(&mut sink, &relay.batch(batches, 3));
        if !stayed && of_producer < CAREFUL_BATCHES {
            // A commit was not believed, on a busy machine: another producer, and all over again.
            of_producer = 0;
            continue;
        }
        of_producer += 1;
        let careful = sink.active.as_ref().unwrap().careful_batches;
        assert_eq!(careful.is_some(), of_producer <= CAREFUL_BATCHES);
    }
    let all: Vec<(u64, u32)> = (1..=batches).map(|sequence| (sequence, 3)).collect();
    assert_eq!(committed_payloads(&broker, &relay.topic), payloads(&all));
}

#[test]
fn fifty_refused_of_ten_thousand_are_named_at_once_and_the_rest_is_published() {
    let broker = broker::with_rights();
    let mut relay = Relay::new(&broker);
    relay.settings.message_bytes_max = 2 << 20;
    relay
        .settings
        .properties
        .insert("transaction.timeout.ms".to_owned(), "30000".to_owned());
    let topics = Topics::new(&broker, &relay);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let mut batch = batch_with_refused(&relay, &topics);
    let began = Instant::now();
    let rounds = rounds(&mut sink, &mut batch);
    println!("{} rounds, {:?}", rounds.len(), began.elapsed());
    let missing = RefusalReason::DestinationMissing.as_str();
    let expected = [
        BTreeMap::from([(missing, 10)]),
        BTreeMap::from([
            (RefusalReason::TooLarge.as_str(), 20),
            (RefusalReason::Rejected.as_str(), 10),
            (RefusalReason::NotAuthorised.as_str(), 10),
        ]),
    ];
    assert_eq!(poisoned(&rounds), expected);
    assert!(rounds.len() <= ROUNDS_MAX, "{} rounds", rounds.len());
    assert_eq!(batch.messages.len(), 9_950);
    let seen: usize = [
        &relay.topic,
        &topics.wide,
        &topics.narrow,
        &topics.compacted,
    ]
    .map(|topic| committed(&broker, topic).len())
    .iter()
    .sum();
    assert_eq!(seen, 9_950);
}
