//! Messages that a stream holds already when they would be refused: consumers have them.

use crate::sink::at_least_once::Publisher as _;
use outbox_core::sink::{Outcome, RefusalReason};

use super::reading::{make_stream, read_payloads};
use super::support::{
    all_payloads, batch_of, control, publish_all, publish_surely, publisher, refusals, settings,
    shared, unique,
};

#[test]
fn what_a_stream_holds_is_known_under_a_lower_limit_and_only_the_next_is_refused() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let mut settings = settings(rabbit);
    let mut batches: Vec<_> = (1..=3)
        .map(|number| batch_of(number, &stream, 50))
        .collect();
    for (batch, place) in [(1, 7), (1, 8), (1, 49), (2, 10)] {
        batches[batch].messages[place].row.payload = Some(vec![b'x'; 20_000 + place].into());
    }
    let mut before = publisher(&settings);
    publish_all(&mut before, &batches[0]);
    before.settled(&batches[0].checkpoint);
    // It ends before the checkpoint of these is durable.
    publish_all(&mut before, &batches[1]);
    drop(before);

    settings.message_bytes_max = 10_000;
    let mut after = publisher(&settings);
    after.settled(&batches[0].checkpoint);
    assert_eq!(publish_surely(&mut after, &batches[1]), Outcome::Durable);
    after.settled(&batches[1].checkpoint);
    let found = refusals(publish_surely(&mut after, &batches[2]));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].batch_index, found[0].reason),
        (10, RefusalReason::TooLarge)
    );
    batches[2].messages.remove(10);
    publish_all(&mut after, &batches[2]);
    assert_eq!(
        read_payloads(rabbit, &stream),
        all_payloads(&batches, &stream)
    );
}

#[test]
fn half_a_batch_that_a_stream_holds_is_known_and_the_rest_is_judged() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let mut settings = settings(rabbit);
    let mut whole = batch_of(1, &stream, 40);
    for place in [5, 15, 25] {
        whole.messages[place].row.payload = Some(vec![b'x'; 20_000 + place].into());
    }
    let mut half = whole.clone();
    half.messages.truncate(20);
    publish_all(&mut publisher(&settings), &half);

    settings.message_bytes_max = 10_000;
    let mut after = publisher(&settings);
    let found = refusals(publish_surely(&mut after, &whole));
    let places: Vec<usize> = found.iter().map(|refusal| refusal.batch_index).collect();
    assert_eq!(places, [25]);
    whole.messages.remove(25);
    publish_all(&mut after, &whole);
    assert_eq!(
        read_payloads(rabbit, &stream),
        all_payloads([&whole], &stream)
    );
}

#[test]
fn what_a_stream_holds_is_known_when_it_may_not_be_written_to_any_more() {
    let (rabbit, stream) = (shared(), unique("stream"));
    make_stream(rabbit, &stream, &[]);
    let user = unique("user");
    control(rabbit, &["add_user", &user, "secret"]);
    let may_write = |what: &str| {
        let order = ["set_permissions", "-p", "/", &user, ".*", what, ".*"];
        control(rabbit, &order);
    };
    may_write(".*");
    let mut settings = settings(rabbit);
    settings.urls = vec![rabbit.stream_url_of(&user, "secret", "%2f")];
    let batches: Vec<_> = (1..=3)
        .map(|number| batch_of(number, &stream, 50))
        .collect();
    let mut before = publisher(&settings);
    publish_all(&mut before, &batches[0]);
    before.settled(&batches[0].checkpoint);
    publish_all(&mut before, &batches[1]);
    drop(before);

    may_write("^outbox-checkpoints$");
    let mut after = publisher(&settings);
    after.settled(&batches[0].checkpoint);
    assert_eq!(publish_surely(&mut after, &batches[1]), Outcome::Durable);
    after.settled(&batches[1].checkpoint);
    let found = refusals(publish_surely(&mut after, &batches[2]));
    assert_eq!(found.len(), 50);
    assert_eq!(found[0].reason, RefusalReason::NotAuthorised);
    assert_eq!(
        read_payloads(rabbit, &stream),
        all_payloads(&batches[..2], &stream)
    );
}
