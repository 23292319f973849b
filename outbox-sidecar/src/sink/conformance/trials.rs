use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outbox_core::sink::{Batch, Delivery, Outcome, Refusal, RefusalReason, Sink};
use outbox_core::{Frontier, Lsn, MessageId, OutboxRow, Position, Timestamp};

use super::checkpoints::{STEP, checkpoint};
use super::outlet::Outlet;
use super::seen::{MESSAGE_BYTES_MAX, Seen};

/// How long a batch may take to become durable.
const SOON: Duration = Duration::from_secs(90);
/// Before the same batch is handed in again.
const PAUSE: Duration = Duration::from_millis(20);

/// Rows of one transaction, with keys `k0` to `k9`, numbered payloads, and no headers.
fn batch(outlet: &Outlet, sequence: u64, destination: &str, count: usize) -> Batch {
    let commit_lsn = Lsn::new((sequence + 1) * STEP);
    let delivery = |index: usize| Delivery {
        position: Position {
            commit_lsn,
            index: u32::try_from(index).unwrap(),
        },
        xid: 700,
        commit_time: Timestamp::from_unix_us(1_700_000_000_000_000),
        replay: None,
        row: OutboxRow {
            id: MessageId::generate(),
            destination: destination.into(),
            key: Some(format!("k{}", index % 10).into()),
            message_type: "PolicyIssued".into(),
            content_type: "text/plain".into(),
            payload: Some(Bytes::from(format!("{sequence}.{index}"))),
            headers: "{}".into(),
            created_at: Timestamp::from_unix_us(1_700_000_000_000_000),
        },
    };
    Batch {
        messages: (0..count).map(delivery).collect(),
        checkpoint: checkpoint(
            outlet.relay(),
            sequence,
            Frontier::at(Lsn::new((sequence + 1) * STEP + 8)),
        ),
    }
}

/// A sink that holds the right to publish.
fn acquired(outlet: &Outlet) -> Box<dyn Sink> {
    let mut sink = outlet.sink();
    let deadline = Instant::now() + SOON;
    while let Err(error) = sink.acquire(1) {
        assert!(Instant::now() < deadline, "{error}");
        std::thread::sleep(PAUSE);
    }
    sink
}

/// Goes the way of a relay until the batch is durable, or some of it is refused.
fn decide(sink: &mut dyn Sink, batch: &Batch) -> Result<(), Vec<Refusal>> {
    let deadline = Instant::now() + SOON;
    loop {
        match sink.publish(batch) {
            Outcome::Durable => return Ok(()),
            Outcome::Poison(refusals) => return Err(refusals),
            Outcome::Ongoing { progress } => assert!(Instant::now() < deadline, "{progress}"),
            Outcome::Retry { reason } | Outcome::Abort { reason } => {
                assert!(Instant::now() < deadline, "{reason}");
                std::thread::sleep(PAUSE);
            }
            Outcome::Indefinite { reason } => {
                assert!(Instant::now() < deadline, "{reason}");
                if let Ok(Some(found)) = sink.acquire(1)
                    && found == batch.checkpoint
                {
                    return Ok(());
                }
            }
            outcome => panic!("{outcome:?}"),
        }
    }
}

fn ids(messages: &[Delivery]) -> Vec<String> {
    let ids = messages.iter().map(|delivery| delivery.row.id.to_string());
    ids.collect()
}

/// Each message is there, and each key's are in their order.
fn assert_in_order(seen: &[Seen], expected: &[Delivery]) {
    let by_key = |messages: Vec<(Option<String>, String)>| {
        let mut keys: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
        for (key, id) in messages {
            keys.entry(key).or_default().push(id);
        }
        keys
    };
    let of_rows = expected.iter().map(|delivery| {
        let key = delivery.row.key.as_ref().map(ToString::to_string);
        (key, delivery.row.id.to_string())
    });
    let of_seen = seen.iter().map(|seen| (seen.key.clone(), seen.id.clone()));
    assert_eq!(by_key(of_seen.collect()), by_key(of_rows.collect()));
}

pub(super) fn one_refused_among_good_ones(outlet: &Outlet) {
    const COUNT: usize = 300;
    const BAD: usize = 123;
    let destination = outlet.destination();
    let mut sink = acquired(outlet);
    let mut whole = batch(outlet, 1, &destination, COUNT);
    let expected = outlet.spoil(&mut whole, BAD);
    let refusals = decide(sink.as_mut(), &whole).unwrap_err();
    let named: Vec<_> = refusals
        .iter()
        .map(|refusal| (refusal.batch_index, refusal.reason))
        .collect();
    assert_eq!(named, [(BAD, expected)]);

    // What the relay does then: everything before it, and once it is out of the way the rest.
    let position = whole.messages[BAD].position;
    let before = Batch {
        messages: whole.messages[..BAD].to_vec(),
        checkpoint: checkpoint(
            outlet.relay(),
            1,
            Frontier::inside(position.commit_lsn, position.index),
        ),
    };
    decide(sink.as_mut(), &before).unwrap();
    let mut rest = batch(outlet, 2, &destination, 0);
    rest.messages = whole.messages[BAD + 1..].to_vec();
    decide(sink.as_mut(), &rest).unwrap();
    let mut good = whole.messages;
    good.remove(BAD);
    assert_in_order(&outlet.seen(&destination), &good);
}

pub(super) fn payloads(outlet: &Outlet) {
    let destination = outlet.destination();
    let mut sink = acquired(outlet);
    let mut some = batch(outlet, 1, &destination, 5);
    let room = MESSAGE_BYTES_MAX - some.messages[3].row.content_bytes()
        + some.messages[3].row.payload.as_ref().unwrap().len();
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies = [
        Some(Bytes::new()),
        None,
        Some(Bytes::from(every_byte)),
        Some(Bytes::from(vec![7; room])),
        Some(Bytes::from("später")),
    ];
    for (delivery, body) in some.messages.iter_mut().zip(&bodies) {
        delivery.row.payload.clone_from(body);
    }
    decide(sink.as_mut(), &some).unwrap();
    let mut seen = outlet.seen(&destination);
    let order = ids(&some.messages);
    seen.sort_by_key(|seen| order.iter().position(|id| *id == seen.id));
    let arrived: Vec<_> = seen.iter().map(|seen| seen.payload.clone()).collect();
    assert_eq!(arrived, bodies.map(|body| body.map(|bytes| bytes.to_vec())));

    let mut large = batch(outlet, 2, &destination, 1);
    large.messages[0].row.payload = Some(Bytes::from(vec![7; room + 1]));
    let refusals = decide(sink.as_mut(), &large).unwrap_err();
    assert_eq!(refusals[0].reason, RefusalReason::TooLarge, "{refusals:?}");
}

pub(super) fn headers(outlet: &Outlet) {
    let destination = outlet.destination();
    let mut sink = acquired(outlet);
    let many: BTreeMap<String, String> =
        (0..100).map(|n| (format!("h{n}"), n.to_string())).collect();
    let kinds: [BTreeMap<String, String>; 4] = [
        [
            ("tenant".to_owned(), "7".to_owned()),
            ("empty".to_owned(), String::new()),
            ("größe".to_owned(), "日本\n\"quoted\"".to_owned()),
        ]
        .into(),
        [("long".to_owned(), "x".repeat(20_000))].into(),
        [(
            "traceparent".to_owned(),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        )]
        .into(),
        many,
    ];
    let mut some = batch(outlet, 1, &destination, kinds.len());
    for (delivery, headers) in some.messages.iter_mut().zip(&kinds) {
        delivery.row.headers = serde_json::to_string(headers).unwrap().into();
    }
    decide(sink.as_mut(), &some).unwrap();
    let seen = outlet.seen(&destination);
    assert_eq!(seen.len(), kinds.len());
    for (delivery, headers) in some.messages.iter().zip(&kinds) {
        let id = delivery.row.id.to_string();
        let seen = seen.iter().find(|seen| seen.id == id).unwrap();
        for (name, value) in headers {
            assert_eq!(seen.headers.get(name), Some(value), "header {name}");
        }
    }
}

pub(super) fn many_destinations(outlet: &Outlet) {
    let destinations: Vec<_> = (0..outlet.many()).map(|_| outlet.destination()).collect();
    let mut sink = acquired(outlet);
    let mut sent = Vec::new();
    for sequence in 1..=3 {
        let mut round = batch(outlet, sequence, "", destinations.len() * 10);
        for (delivery, destination) in round.messages.iter_mut().zip(destinations.iter().cycle()) {
            delivery.row.destination = destination.as_str().into();
        }
        decide(sink.as_mut(), &round).unwrap();
        sent.extend(round.messages);
    }
    for destination in &destinations {
        let here: Vec<_> = sent
            .iter()
            .filter(|delivery| delivery.row.destination == destination.as_str())
            .cloned()
            .collect();
        assert_in_order(&outlet.seen(destination), &here);
    }
}

pub(super) fn a_later_holder(outlet: &Outlet) {
    let destination = outlet.destination();
    let mut sink = acquired(outlet);
    let mut sent = Vec::new();
    for sequence in 1..=3 {
        let round = batch(outlet, sequence, &destination, 100);
        decide(sink.as_mut(), &round).unwrap();
        assert_eq!(sink.peek().unwrap().as_ref(), Some(&round.checkpoint));
        sent.extend(round.messages);
    }
    // The first lets go, or is gone: the next finds the checkpoint and goes on.
    sink.release();
    drop(sink);
    let mut sink = acquired(outlet);
    let found = sink.peek().unwrap().unwrap();
    assert_eq!(found.sequence, 3);
    let round = batch(outlet, 4, &destination, 100);
    decide(sink.as_mut(), &round).unwrap();
    sent.extend(round.messages);
    assert_in_order(&outlet.seen(&destination), &sent);
}
