//! Publishers and nodes that end at the wrong moment.

use crate::sink::at_least_once::Publisher as _;
use std::time::Duration;

use outbox_core::sink::Outcome;
use testbed::proxy::TcpProxy;

use super::reading::read_payloads;
use super::support::{
    all_payloads, batch_of, batch_to, own, publish_all, publisher, runtime, seed, settings, shared,
    unique,
};

#[test]
fn a_publisher_that_is_dropped_anywhere_leaves_each_message_once() {
    let (rabbit, seed) = (shared(), seed());
    let mut random = fastrand::Rng::with_seed(seed);
    let streams = [unique("a"), unique("b"), unique("c")];
    let settings = settings(rabbit);
    let proxy = TcpProxy::start(&format!("127.0.0.1:{}", rabbit.stream_port())).unwrap();
    let mut through_proxy = settings.clone();
    through_proxy.urls = vec![format!("rabbitmq-stream://{}", proxy.address())];
    let mut batches = Vec::new();
    for sequence in 1..=30 {
        let names: Vec<&str> = (0..random.usize(1..3000))
            .map(|_| random.choice(&streams).unwrap().as_str())
            .collect();
        let batch = batch_to(sequence, &names);
        // The process that dies: its socket is cut with whatever is in it.
        let mut settings = through_proxy.clone();
        settings.unconfirmed_max = random.usize(1..2000);
        let mut dying = publisher(&settings);
        let moment = Duration::from_micros(random.u64(0..30_000));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(moment);
                proxy.cut();
            });
            let _ = dying.publish(&batch);
        });
        drop(dying);
        publish_all(&mut publisher(&through_proxy), &batch);
        batches.push(batch);
    }
    for stream in &streams {
        let expected = all_payloads(&batches, stream);
        assert_eq!(read_payloads(rabbit, stream), expected, "seed {seed}");
    }
}

#[test]
fn a_killed_node_has_each_message_once_afterwards() {
    let rabbit = own();
    let stream = unique("stream");
    let mut publisher = publisher(&settings(&rabbit));
    let batches: Vec<_> = (1..=60)
        .map(|number| batch_of(number, &stream, 500))
        .collect();
    publish_all(&mut publisher, &batches[0]);
    // A stream that 3.10 has made moments before it is killed never gets a leader again.
    runtime().block_on(rabbit.stop()).unwrap();
    runtime().block_on(rabbit.restart()).unwrap();
    publish_all(&mut publisher, &batches[1]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                runtime().block_on(rabbit.kill()).unwrap();
                runtime().block_on(rabbit.restart()).unwrap();
            }
        });
        for batch in &batches[2..] {
            publish_all(&mut publisher, batch);
        }
    });
    let expected = all_payloads(&batches, &stream);
    assert_eq!(read_payloads(&rabbit, &stream), expected);
}

#[test]
fn a_zombie_and_its_successor_add_up_to_each_message_once() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let mut settings = settings(rabbit);
    settings.unconfirmed_max = 50;
    let batches: Vec<_> = (1..=40)
        .map(|number| batch_of(number, &stream, 200))
        .collect();
    std::thread::scope(|scope| {
        for behind in [0, 3, 7] {
            let (settings, batches) = (&settings, &batches);
            scope.spawn(move || {
                let mut publisher = publisher(settings);
                for (number, batch) in batches.iter().enumerate() {
                    publish_all(&mut publisher, batch);
                    // What was published before comes again, as after a restart.
                    if let Some(earlier) = number.checked_sub(behind) {
                        publish_all(&mut publisher, &batches[earlier]);
                    }
                }
            });
        }
    });
    let expected = all_payloads(&batches, &stream);
    assert_eq!(read_payloads(rabbit, &stream), expected);
}

#[test]
fn what_an_old_connection_still_delivers_late_is_dropped() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let settings = settings(rabbit);
    let proxy = TcpProxy::start(&format!("127.0.0.1:{}", rabbit.stream_port())).unwrap();
    let mut through_proxy = settings.clone();
    through_proxy.urls = vec![format!("rabbitmq-stream://{}", proxy.address())];
    through_proxy.heartbeat = Duration::from_secs(60);
    let batches: Vec<_> = (1..=3)
        .map(|number| batch_of(number, &stream, 300))
        .collect();
    let mut zombie = publisher(&through_proxy);
    publish_all(&mut zombie, &batches[0]);
    proxy.black_hole();
    // It sends, and hears nothing.
    let outcome = zombie.publish(&batches[1]);
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    let mut successor = publisher(&settings);
    publish_all(&mut successor, &batches[1]);
    publish_all(&mut successor, &batches[2]);
    proxy.forward();
    publish_all(&mut zombie, &batches[1]);
    publish_all(&mut zombie, &batches[2]);
    let expected = all_payloads(&batches, &stream);
    assert_eq!(read_payloads(rabbit, &stream), expected);
}
