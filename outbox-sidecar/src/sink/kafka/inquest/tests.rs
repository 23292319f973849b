//! The search against a broker of a few lines, with batches made by chance.

use std::collections::{BTreeSet, HashSet};

use fastrand::Rng;
use outbox_core::MessageId;
use outbox_core::sink::Batch;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::super::isolation::tests::batch_of;
use super::*;

const REQUEST_BYTES_MAX: usize = 100_000;
/// From a request of that size to what the narrowest topic takes, by halves.
const ROUNDS_MAX: usize = 8;

/// A topic of the pretended broker.
#[derive(Clone, Copy)]
struct Topic {
    /// What a request may have.
    bytes_max: usize,
    authorised: bool,
}

fn batch(random: &mut Rng, topics: &[Topic], count: u32) -> Batch {
    let messages: Vec<(String, usize)> = (0..count)
        .map(|_| {
            let large = random.usize(..50) == 0;
            let bytes = random.usize(..if large { 60_000 } else { 500 });
            (random.usize(..topics.len()).to_string(), bytes)
        })
        .collect();
    batch_of(&messages)
}

fn topic_of(batch: &Batch, topics: &[Topic], index: usize) -> Topic {
    topics[batch.messages[index]
        .row
        .destination
        .parse::<usize>()
        .unwrap()]
}

/// What a try ends in: the first refused request, and what it takes along.
fn attempt(batch: &Batch, topics: &[Topic], tried: &[usize]) -> Option<Vec<FailedDelivery>> {
    let mut requests: Vec<Vec<usize>> = Vec::new();
    for index in tried {
        let same = |request: &&mut Vec<usize>| {
            let of = |index: usize| &batch.messages[index].row.destination;
            of(request[0]) == of(*index)
                && bytes(batch, request) + bytes(batch, &[*index]) <= REQUEST_BYTES_MAX
        };
        match requests.iter_mut().rev().find(same) {
            Some(request) => request.push(*index),
            None => requests.push(vec![*index]),
        }
    }
    let code = |request: &Vec<usize>| {
        let topic = topic_of(batch, topics, request[0]);
        if !topic.authorised {
            Some(Code::TopicAuthorizationFailed)
        } else {
            (bytes(batch, request) > topic.bytes_max).then_some(Code::MessageSizeTooLarge)
        }
    };
    let refused = requests
        .iter()
        .position(|request| code(request).is_some())?;
    let mut failures = Vec::new();
    for (place, request) in requests.iter().enumerate().skip(refused) {
        let code = match place == refused {
            true => code(request).unwrap(),
            false => Code::PurgeQueue,
        };
        failures.extend(request.iter().map(|tag| FailedDelivery { tag: *tag, code }));
    }
    Some(failures)
}

/// Searches until all is tried; returns how many tries failed.
fn search(batch: &Batch, topics: &[Topic], isolation: &mut Isolation) -> usize {
    let mut inquest = Inquest::new(batch, isolation);
    let mut failed = 0;
    while let Some(tried) = inquest.next(batch, isolation) {
        match attempt(batch, topics, &tried) {
            None => inquest.passed(batch, isolation),
            Some(failures) => {
                failed += 1;
                assert!(
                    inquest.learn(batch, shown(&failures, tried.len()), isolation),
                    "nothing was learnt"
                );
            }
        }
    }
    isolation.clear_suspicion();
    failed
}

fn shown(failures: &[FailedDelivery], handed_over: usize) -> Failed<'_> {
    Failed {
        handed_over,
        not_taken: Vec::new(),
        failures,
        unauthorised: HashSet::new(),
    }
}

/// Publishes: as much at once as the isolation lets. What fails first.
fn publish(batch: &Batch, topics: &[Topic], isolation: &Isolation) -> Option<Vec<FailedDelivery>> {
    let mut on_the_way: Vec<usize> = Vec::new();
    for (index, delivery) in batch.messages.iter().enumerate() {
        let same =
            |other: &&usize| batch.messages[**other].row.destination == delivery.row.destination;
        let others: Vec<usize> = on_the_way.iter().filter(same).copied().collect();
        let sum = bytes(batch, &others) + bytes(batch, &[index]);
        let crowded = !others.is_empty() && sum > isolation.limit(&delivery.row.destination);
        if crowded && let Some(failures) = attempt(batch, topics, &std::mem::take(&mut on_the_way))
        {
            return Some(failures);
        }
        on_the_way.push(index);
    }
    attempt(batch, topics, &on_the_way)
}

#[test]
fn exactly_the_refused_are_named_in_few_tries_and_the_rest_is_published() {
    for seed in 0..200 {
        println!("seed {seed}");
        let random = &mut Rng::with_seed(seed);
        let topics: Vec<Topic> = (0..random.usize(1..6))
            .map(|_| Topic {
                bytes_max: random.usize(1000..200_000),
                authorised: random.usize(..5) != 0,
            })
            .collect();
        let count = random.u32(1..400);
        let mut batch = batch(random, &topics, count);
        let is_refused = |index: &usize| {
            let topic = topic_of(&batch, &topics, *index);
            !topic.authorised || bytes(&batch, &[*index]) > topic.bytes_max
        };
        let expected: BTreeSet<usize> = (0..batch.messages.len()).filter(is_refused).collect();
        let expected: BTreeSet<MessageId> = expected
            .iter()
            .map(|index| batch.messages[*index].row.id)
            .collect();
        let mut isolation = Isolation::default();
        let (mut named, mut failed, mut rounds) = (BTreeSet::new(), 0, 0);
        while let Some(failures) = publish(&batch, &topics, &isolation) {
            rounds += 1;
            let count = batch.messages.len();
            Inquest::all(&batch).learn(&batch, shown(&failures, count), &mut isolation);
            failed += 1 + search(&batch, &topics, &mut isolation);
            for refusal in isolation.take_refusals(&batch).iter().rev() {
                named.insert(batch.messages.remove(refusal.batch_index).row.id);
            }
        }
        assert_eq!(named, expected);
        assert!(rounds <= ROUNDS_MAX, "{rounds} rounds");
        // One for each message, and a few for each topic: found out, and halved to its width.
        let few = expected.len() + topics.len() * 2 * ROUNDS_MAX;
        assert!(failed <= few, "{failed} tries failed, at most {few} should");
    }
}
