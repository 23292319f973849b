//! Nodes that do not do what they should.

use crate::sink::at_least_once::Publisher as _;
use std::time::Instant;

use outbox_core::sink::{AcquireError, Outcome};
use testbed::proxy::TcpProxy;

use super::reading::{delete_stream, eventually, make_stream, read_payloads};
use super::support::{
    SOON, acquire_surely, all_payloads, batch_of, control, own, payloads, publish_all, publisher,
    runtime, settings, shared, unique,
};
use crate::sink::rabbitmq_stream::StreamPublisher;

#[test]
fn a_frozen_node_holds_nothing_up_for_ever() {
    let rabbit = own();
    let stream = unique("stream");
    let mut publisher = publisher(&settings(&rabbit));
    let batches: Vec<_> = (1..=3)
        .map(|number| batch_of(number, &stream, 1000))
        .collect();
    publish_all(&mut publisher, &batches[0]);
    rabbit.freeze().unwrap();
    let began = Instant::now();
    let reason = loop {
        match publisher.publish(&batches[1]) {
            Outcome::Retry { .. } => assert!(began.elapsed() < SOON, "it never gives up"),
            Outcome::Indefinite { reason } => break reason,
            outcome => panic!("{outcome:?}"),
        }
    };
    assert!(reason.contains("life"), "{reason}");
    assert!(publisher.acquire().is_err());
    rabbit.thaw().unwrap();
    acquire_surely(&mut publisher);
    publish_all(&mut publisher, &batches[1]);
    publish_all(&mut publisher, &batches[2]);
    let expected = all_payloads(&batches, &stream);
    assert_eq!(read_payloads(&rabbit, &stream), expected);
}

#[test]
fn a_cut_connection_is_noticed_and_an_idle_one_stays() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let proxy = TcpProxy::start(&format!("127.0.0.1:{}", rabbit.stream_port())).unwrap();
    let mut settings = settings(rabbit);
    settings.heartbeat = std::time::Duration::from_secs(1);
    settings.urls = vec![
        "rabbitmq-stream://127.0.0.1:1".to_owned(),
        format!("rabbitmq-stream://{}", proxy.address()),
    ];
    let mut publisher = publisher(&settings);
    let batches: Vec<_> = (1..=3)
        .map(|number| batch_of(number, &stream, 100))
        .collect();
    publish_all(&mut publisher, &batches[0]);
    let idle_since = Instant::now();
    eventually("idle for longer than both sides wait", || {
        idle_since.elapsed() > settings.heartbeat * 4
    });
    assert_eq!(publisher.publish(&batches[1]), Outcome::Durable);
    proxy.cut();
    let outcome = publisher.publish(&batches[2]);
    assert!(matches!(outcome, Outcome::Indefinite { .. }), "{outcome:?}");
    publish_all(&mut publisher, &batches[2]);
    let expected = all_payloads(&batches, &stream);
    assert_eq!(read_payloads(rabbit, &stream), expected);
}

#[test]
fn a_disk_alarm_is_back_pressure_and_ends_by_itself() {
    let rabbit = own();
    let (stream, late) = (unique("stream"), unique("late"));
    make_stream(&rabbit, &late, &[]);
    let mut settings = settings(&rabbit);
    settings.unconfirmed_max = 10_000;
    let mut publisher = publisher(&settings);
    let mut batches = vec![batch_of(1, &stream, 100)];
    publish_all(&mut publisher, &batches[0]);
    control(&rabbit, &["set_disk_free_limit", "900GB"]);
    let deadline = Instant::now() + SOON;
    // The node looks at its disk now and then, and takes what was on its way.
    let reason = loop {
        let sequence = 1 + batches.len() as u64;
        batches.push(batch_of(sequence, &stream, 100));
        match publisher.publish(batches.last().unwrap()) {
            Outcome::Durable => assert!(Instant::now() < deadline, "it never blocks"),
            Outcome::Retry { reason } => break reason,
            outcome => panic!("{outcome:?}"),
        }
    };
    assert!(reason.contains("disk alarm"), "{reason}");
    let began = Instant::now();
    while began.elapsed().as_secs() < 32 {
        let outcome = publisher.publish(batches.last().unwrap());
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
    // A new connection can be made, and no new publisher.
    let mut other = StreamPublisher::new(settings.clone()).unwrap();
    let error = other.acquire().unwrap_err();
    assert!(matches!(error, AcquireError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("disk alarm"), "{error}");
    control(&rabbit, &["set_disk_free_limit", "50MB"]);
    loop {
        match publisher.publish(batches.last().unwrap()) {
            Outcome::Durable => break,
            Outcome::Retry { reason } => assert!(Instant::now() < deadline + SOON, "{reason}"),
            outcome => panic!("{outcome:?}"),
        }
    }
    acquire_surely(&mut other);
    publish_all(&mut other, &batch_of(1, &late, 1));
    let expected = all_payloads(&batches, &stream);
    assert_eq!(read_payloads(&rabbit, &stream), expected);
}

#[test]
fn a_memory_alarm_does_not_concern_streams() {
    let rabbit = own();
    let stream = unique("stream");
    let mut publisher = publisher(&settings(&rabbit));
    publish_all(&mut publisher, &batch_of(1, &stream, 100));
    control(
        &rabbit,
        &["set_vm_memory_high_watermark", "absolute", "1MB"],
    );
    let alarms = ["eval", "rabbit_alarm:get_alarms()."];
    let raised = testbed::wait::until("the memory alarm", SOON, async || {
        let said = rabbit.control(&alarms).await;
        said.is_ok_and(|alarms| alarms.contains("memory"))
    });
    runtime().block_on(raised).unwrap();
    let batches: Vec<_> = (2..=20)
        .map(|number| batch_of(number, &stream, 100))
        .collect();
    for batch in &batches {
        publish_all(&mut publisher, batch);
    }
    control(
        &rabbit,
        &["set_vm_memory_high_watermark", "absolute", "1GB"],
    );
    let seen = read_payloads(&rabbit, &stream);
    assert_eq!(seen.len(), 2000);
}

#[test]
fn a_stream_that_was_deleted_and_made_anew_gets_what_comes() {
    let (rabbit, stream) = (shared(), unique("stream"));
    make_stream(rabbit, &stream, &[]);
    let mut publisher = publisher(&settings(rabbit));
    publish_all(&mut publisher, &batch_of(1, &stream, 100));
    delete_stream(rabbit, &stream);
    make_stream(rabbit, &stream, &[]);
    let batch = batch_of(2, &stream, 100);
    publish_all(&mut publisher, &batch);
    assert_eq!(read_payloads(rabbit, &stream), payloads(&batch, &stream));
}
