use std::time::{Duration, Instant};

use outbox_core::sink::{AcquireError, Outcome, Sink};

use super::broker;
use super::reading::committed_payloads;
use super::support::{Relay, SOON, payloads, publish_surely};

/// Above every limit of one call together, and far below for ever.
const BOUNDED: Duration = Duration::from_secs(60);

fn bounded<T>(call: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = call();
    assert!(began.elapsed() < BOUNDED, "it took {:?}", began.elapsed());
    result
}

#[test]
fn a_frozen_broker_holds_nothing_up_for_ever_and_the_checkpoint_tells_the_truth() {
    let broker = broker::own();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    publish_surely(&mut sink, &relay.batch(1, 5));
    broker.freeze();
    let batch = relay.batch(2, 100);
    let deadline = Instant::now() + SOON;
    let reason = loop {
        match bounded(|| sink.publish(&batch)) {
            Outcome::Retry { .. } => assert!(Instant::now() < deadline, "it never gives up"),
            Outcome::Indefinite { reason } => break reason,
            outcome => panic!("{outcome:?}"),
        }
    };
    assert!(!reason.is_empty());
    let error = bounded(|| sink.acquire(1)).unwrap_err();
    assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
    let error = bounded(|| sink.peek()).unwrap_err();
    assert!(matches!(error, AcquireError::Unavailable(_)), "{error:?}");
    bounded(|| sink.release());
    broker.thaw();

    let deadline = Instant::now() + SOON;
    let found = loop {
        match sink.acquire(1) {
            Ok(found) => break found.unwrap(),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let visible = committed_payloads(&broker, &relay.topic);
    match found.sequence {
        1 => {
            assert_eq!(visible, payloads(&[(1, 5)]));
            publish_surely(&mut sink, &batch);
        }
        2 => {}
        other => panic!("checkpoint {other}"),
    }
    assert_eq!(
        committed_payloads(&broker, &relay.topic),
        payloads(&[(1, 5), (2, 100)])
    );
}

#[test]
fn a_broker_frozen_for_a_moment_loses_and_repeats_nothing() {
    let broker = broker::own();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let counts: Vec<(u64, u32)> = (1..=30).map(|sequence| (sequence, 50)).collect();
    std::thread::scope(|scope| {
        let freezer = scope.spawn(|| {
            for _ in 0..6 {
                broker.freeze();
                std::thread::sleep(Duration::from_millis(400));
                broker.thaw();
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        for (sequence, count) in &counts {
            publish_surely(&mut sink, &relay.batch(*sequence, *count));
        }
        freezer.join().unwrap();
    });
    assert_eq!(committed_payloads(&broker, &relay.topic), payloads(&counts));
}

#[test]
fn a_killed_broker_loses_and_repeats_nothing() {
    let broker = broker::own();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let counts: Vec<(u64, u32)> = (1..=40).map(|sequence| (sequence, 100)).collect();
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            broker.kill();
            broker.restart();
        });
        for (sequence, count) in &counts {
            publish_surely(&mut sink, &relay.batch(*sequence, *count));
        }
        killer.join().unwrap();
    });
    assert_eq!(committed_payloads(&broker, &relay.topic), payloads(&counts));
}
