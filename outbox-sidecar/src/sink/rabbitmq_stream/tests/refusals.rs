use crate::sink::at_least_once::Publisher as _;
use outbox_core::sink::{AcquireError, Outcome, RefusalReason};

use super::reading::{make_queue, make_stream, read_payloads};
use super::support::{
    acquire_surely, all_payloads, batch_of, batch_to, control, payloads, publish_all,
    publish_surely, publisher, refusals, settings, shared, unique,
};
use crate::sink::rabbitmq_stream::{StreamPublisher, StreamSettingsError};

#[test]
fn a_missing_stream_among_good_ones_is_named_and_made_on_request() {
    let (rabbit, good, missing) = (shared(), unique("good"), unique("missing"));
    make_stream(rabbit, &good, &[]);
    let mut settings = settings(rabbit);
    settings.create_streams = false;
    let mut first = publisher(&settings);
    let batch = batch_to(1, &[&good, &missing, &good, &missing, &good]);
    let found = refusals(publish_surely(&mut first, &batch));
    let places: Vec<usize> = found.iter().map(|refusal| refusal.batch_index).collect();
    assert_eq!(places, [1, 3]);
    for refusal in &found {
        assert_eq!(refusal.reason, RefusalReason::DestinationMissing);
        assert!(refusal.error.contains(&missing), "{}", refusal.error);
    }
    assert_eq!(read_payloads(rabbit, &good), payloads(&batch, &good));
    // The operator has it made: the same batch again adds what was missing.
    settings.create_streams = true;
    let mut second = publisher(&settings);
    publish_all(&mut second, &batch);
    assert_eq!(read_payloads(rabbit, &good), payloads(&batch, &good));
    assert_eq!(read_payloads(rabbit, &missing), payloads(&batch, &missing));
    // The first one looks again with each batch.
    let next = batch_of(2, &missing, 1);
    publish_all(&mut first, &next);
}

#[test]
fn nothing_overtakes_a_refused_message_in_its_stream() {
    let (rabbit, stream, other) = (shared(), unique("stream"), unique("other"));
    let mut settings = settings(rabbit);
    settings.message_bytes_max = 10_000;
    let names: Vec<&str> = [stream.as_str(), other.as_str()].repeat(4);
    let mut batch = batch_to(1, &names);
    batch.messages[2].row.payload = Some(vec![b'x'; 20_000].into());
    batch.messages[6].row.payload = Some(vec![b'x'; 20_000].into());
    let mut publisher = publisher(&settings);
    let found = refusals(publish_surely(&mut publisher, &batch));
    let places: Vec<usize> = found.iter().map(|refusal| refusal.batch_index).collect();
    assert_eq!(places, [2, 6]);
    assert!(
        found
            .iter()
            .all(|refusal| refusal.reason == RefusalReason::TooLarge)
    );
    assert_eq!(read_payloads(rabbit, &stream), ["1.0"]);
    assert_eq!(read_payloads(rabbit, &other), payloads(&batch, &other));
    // Once they are set aside, the rest follows; nothing is there twice.
    let mut rest = batch.clone();
    rest.messages.remove(6);
    rest.messages.remove(2);
    publish_all(&mut publisher, &rest);
    assert_eq!(read_payloads(rabbit, &stream), ["1.0", "1.4"]);
    assert_eq!(read_payloads(rabbit, &other), payloads(&batch, &other));
}

#[test]
fn a_message_set_right_before_its_followers_is_published_at_its_place() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let mut batch = batch_of(1, &stream, 5);
    let whole = batch.messages[2].row.payload.clone();
    batch.messages[2].row.payload = Some(vec![b'x'; 2 << 20].into());
    let mut publisher = publisher(&settings(rabbit));
    assert_eq!(refusals(publish_surely(&mut publisher, &batch)).len(), 1);
    batch.messages[2].row.payload = whole;
    publish_all(&mut publisher, &batch);
    assert_eq!(read_payloads(rabbit, &stream), payloads(&batch, &stream));
}

#[test]
fn what_a_stream_cannot_carry_is_refused_before_it_is_sent() {
    let rabbit = shared();
    let streams: Vec<String> = (0..8).map(|_| unique("stream")).collect();
    let names: Vec<&str> = streams.iter().map(String::as_str).collect();
    let mut batch = batch_to(1, &names);
    batch.messages[0].row.message_type = "t".repeat(256).into();
    batch.messages[1].row.headers = format!("{{\"{}\":\"x\"}}", "n".repeat(256)).into();
    batch.messages[2].row.headers = format!("{{\"n\":\"{}\"}}", "x".repeat(200_000)).into();
    batch.messages[3].row.headers = "{\"n\":1}".into();
    batch.messages[4].row.headers = "{\"x-basic-type\":\"n\"}".into();
    // Within our limit, but not within a frame of the broker's.
    batch.messages[5].row.payload = Some(vec![0; 1_100_000].into());
    batch.messages[6].row.destination = "n".repeat(256).into();
    batch.messages[7].position.index = 1 << 20;
    let mut settings = settings(rabbit);
    settings.message_bytes_max = 8 << 20;
    let found = refusals(publish_surely(&mut publisher(&settings), &batch));
    let reasons: Vec<RefusalReason> = found.iter().map(|refusal| refusal.reason).collect();
    assert_eq!(
        reasons,
        [
            RefusalReason::Rejected,
            RefusalReason::HeadersInvalid,
            RefusalReason::HeadersInvalid,
            RefusalReason::HeadersInvalid,
            RefusalReason::HeadersInvalid,
            RefusalReason::TooLarge,
            RefusalReason::DestinationInvalid,
            RefusalReason::Rejected,
        ]
    );
    assert!(found[5].error.contains("frame"), "{}", found[5].error);
    assert!(found[7].error.contains("1048576"), "{}", found[7].error);
}

#[test]
fn the_largest_message_that_fits_a_frame_arrives() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let mut settings = settings(rabbit);
    settings.message_bytes_max = 8 << 20;
    let mut publisher = publisher(&settings);
    let mut batch = batch_of(1, &stream, 1);
    batch.messages[0].row.payload = Some(vec![b'x'; 1 << 20].into());
    let error = &refusals(publish_surely(&mut publisher, &batch))[0].error;
    // "the message has <bytes> bytes with its properties, ... leaves <limit>"
    let numbers: Vec<usize> = error
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let most = (1 << 20) - (numbers[0] - numbers[1]);
    batch.messages[0].row.payload = Some(vec![b'x'; most + 1].into());
    assert_eq!(refusals(publish_surely(&mut publisher, &batch)).len(), 1);
    batch.messages[0].row.payload = Some(vec![b'x'; most].into());
    publish_all(&mut publisher, &batch);
    let seen = read_payloads(rabbit, &stream);
    assert_eq!((seen.len(), seen[0].len()), (1, most));
}

#[test]
fn a_stream_without_permission_is_named_and_the_others_go_on() {
    let (rabbit, allowed, forbidden) = (shared(), unique("allowed"), unique("forbidden"));
    make_stream(rabbit, &allowed, &[]);
    make_stream(rabbit, &forbidden, &[]);
    let user = unique("user");
    control(rabbit, &["add_user", &user, "secret"]);
    let permit = |configure: &str, write: &str, read: &str| {
        control(
            rabbit,
            &["set_permissions", "-p", "/", &user, configure, write, read],
        );
    };
    let mut settings = settings(rabbit);
    settings.urls = vec![rabbit.stream_url_of(&user, "secret", "%2f")];
    let some = "^(allowed-.*|outbox-checkpoints)$";
    for (number, (write, read)) in [(some, ".*"), (".*", some)].iter().enumerate() {
        permit("", write, read);
        let sequence = 1 + u64::try_from(number).unwrap();
        let batch = batch_to(sequence, &[&allowed, &forbidden, &allowed, &forbidden]);
        let found = refusals(publish_surely(&mut publisher(&settings), &batch));
        let places: Vec<usize> = found.iter().map(|refusal| refusal.batch_index).collect();
        assert_eq!(places, [1, 3]);
        assert!(
            found
                .iter()
                .all(|refusal| refusal.reason == RefusalReason::NotAuthorised)
        );
        assert!(found[0].error.contains("right"), "{}", found[0].error);
    }
    assert_eq!(read_payloads(rabbit, &allowed).len(), 4);
    assert!(read_payloads(rabbit, &forbidden).is_empty());
    // Not even to make one.
    let batch = batch_to(3, &[&unique("new")]);
    let found = refusals(publish_surely(&mut publisher(&settings), &batch));
    assert_eq!(found[0].reason, RefusalReason::NotAuthorised);
}

#[test]
fn a_permission_that_is_taken_away_loses_nothing() {
    let (rabbit, stream) = (shared(), unique("stream"));
    make_stream(rabbit, &stream, &[]);
    let user = unique("user");
    control(rabbit, &["add_user", &user, "secret"]);
    control(
        rabbit,
        &["set_permissions", "-p", "/", &user, ".*", ".*", ".*"],
    );
    let mut settings = settings(rabbit);
    settings.urls = vec![rabbit.stream_url_of(&user, "secret", "%2f")];
    let mut publisher = publisher(&settings);
    let batches: Vec<_> = (1..=2)
        .map(|number| batch_of(number, &stream, 2000))
        .collect();
    publish_all(&mut publisher, &batches[0]);
    let may_write = |what: &str| {
        let order = ["set_permissions", "-p", "/", &user, ".*", what, ".*"];
        control(rabbit, &order);
    };
    // What the broker remembers of permissions goes with the connection.
    may_write("^outbox-checkpoints$");
    publisher.acquire().unwrap();
    let found = refusals(publish_surely(&mut publisher, &batches[1]));
    assert_eq!(found[0].reason, RefusalReason::NotAuthorised);
    may_write("^stream-.*");
    let error = publisher.acquire().unwrap_err();
    let reason = error.to_string();
    assert!(
        matches!(error, AcquireError::Fatal(_)) && reason.contains("outbox-checkpoints"),
        "{reason}"
    );
    may_write(".*");
    acquire_surely(&mut publisher);
    publish_all(&mut publisher, &batches[1]);
    let expected = all_payloads(&batches, &stream);
    assert_eq!(read_payloads(rabbit, &stream), expected);
}

#[test]
fn a_queue_is_no_stream() {
    let (rabbit, queue) = (shared(), unique("queue"));
    make_queue(rabbit, &queue);
    for create in [false, true] {
        let mut settings = settings(rabbit);
        settings.create_streams = create;
        let outcome = publish_surely(&mut publisher(&settings), &batch_of(1, &queue, 1));
        let expected = match create {
            true => RefusalReason::DestinationInvalid,
            false => RefusalReason::DestinationMissing,
        };
        assert_eq!(refusals(outcome)[0].reason, expected);
    }
}

#[test]
fn an_lsn_that_postgresql_never_has_stops_loudly() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let mut batch = batch_of(1, &stream, 1);
    batch.messages[0].position.commit_lsn = outbox_core::Lsn::new(12);
    let outcome = publish_surely(&mut publisher(&settings(rabbit)), &batch);
    assert!(
        matches!(&outcome, Outcome::Fatal { reason } if reason.contains("multiple")),
        "{outcome:?}"
    );
}

#[test]
fn what_is_wrong_with_the_address_is_said() {
    let rabbit = shared();
    let with = |url: String| {
        let mut settings = settings(rabbit);
        settings.urls = vec![url];
        StreamPublisher::new(settings)
            .unwrap()
            .acquire()
            .unwrap_err()
    };
    let error = with(rabbit.stream_url_of("guest", "wrong", "%2f"));
    assert!(
        matches!(&error, AcquireError::Fatal(text) if text.contains("password")),
        "{error}"
    );
    let error = with(rabbit.stream_url_of("guest", "guest", "none"));
    assert!(
        matches!(&error, AcquireError::Fatal(text) if text.contains("vhost")),
        "{error}"
    );
    let error = with("rabbitmq-stream://127.0.0.1:1".to_owned());
    assert!(matches!(&error, AcquireError::Unavailable(_)), "{error}");
    // AMQP 0.9.1's port, which nothing but the plugin makes speak streams.
    let error = with(format!(
        "rabbitmq-stream://127.0.0.1:{}",
        rabbit.amqp_port()
    ));
    assert!(matches!(&error, AcquireError::Unavailable(_)), "{error}");
    // A port without TLS.
    let error = with(format!(
        "rabbitmq-stream+tls://127.0.0.1:{}",
        rabbit.stream_port()
    ));
    assert!(matches!(&error, AcquireError::Unavailable(_)), "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = settings(shared());
    let error = |change: fn(&mut crate::sink::rabbitmq_stream::StreamSettings)| {
        let mut settings = good.clone();
        change(&mut settings);
        StreamPublisher::new(settings)
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(error(|_| {}), None);
    let missing = StreamSettingsError::UrlMissing.to_string();
    assert_eq!(error(|settings| settings.urls.clear()), Some(missing));
    assert!(
        error(|settings| settings.unconfirmed_max = 0)
            .unwrap()
            .contains("unconfirmed_max")
    );
    assert!(
        error(|settings| settings.heartbeat = Default::default())
            .unwrap()
            .contains("heartbeat_s")
    );
    assert!(
        error(|settings| settings.relay = "r".repeat(64))
            .unwrap()
            .contains("relay.name")
    );
    let text = error(|settings| settings.urls = vec!["amqp://a:secret@b".into()]).unwrap();
    assert!(
        text.contains("broker 1") && !text.contains("secret"),
        "{text}"
    );
}

#[test]
fn the_stream_of_the_checkpoints_copies_is_no_destination() {
    let rabbit = shared();
    let settings = settings(rabbit);
    let mut publisher = publisher(&settings);
    let batch = batch_of(1, &settings.checkpoint_stream, 1);
    let refused = refusals(publish_surely(&mut publisher, &batch));
    assert_eq!(refused[0].reason, RefusalReason::DestinationInvalid);
}
