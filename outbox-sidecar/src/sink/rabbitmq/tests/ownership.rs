use std::time::Instant;

use outbox_core::sink::AcquireError;

use super::support::{SOON, publisher, settings, shared};
use crate::sink::at_least_once::Publisher;
use crate::sink::rabbitmq::RabbitPublisher;

#[test]
fn one_holds_the_guard_and_the_next_gets_it_once_it_is_given_up() {
    let settings = settings(shared());
    let mut first = publisher(&settings);
    let mut second = RabbitPublisher::new(settings).unwrap();
    let error = second.acquire().unwrap_err();
    assert!(matches!(error, AcquireError::Unavailable(_)), "{error}");
    first.release();
    let deadline = Instant::now() + SOON;
    while let Err(error) = second.acquire() {
        assert!(matches!(error, AcquireError::Unavailable(_)), "{error}");
        assert!(Instant::now() < deadline, "the guard stays taken");
    }
}

#[test]
fn the_first_broker_that_answers_is_taken() {
    let mut settings = settings(shared());
    settings
        .urls
        .insert(0, "amqp://guest:guest@127.0.0.1:1/%2f".to_owned());
    publisher(&settings);
}

#[test]
fn a_broker_that_refuses_us_does_not_count_where_another_takes_us() {
    let rabbit = shared();
    let mut settings = settings(rabbit);
    settings
        .urls
        .insert(0, rabbit.url_of("guest", "wrong", "%2f"));
    publisher(&settings);
}

#[test]
fn brokers_that_refuse_us_are_each_named_when_none_takes_us() {
    let rabbit = shared();
    let mut settings = settings(rabbit);
    settings.urls = vec![
        rabbit.url_of("guest", "wrong", "%2f"),
        "amqp://guest:guest@127.0.0.1:1/%2f".to_owned(),
        rabbit.url_of("guest", "guest", "none"),
    ];
    let mut publisher = RabbitPublisher::new(settings).unwrap();
    let error = publisher.acquire().unwrap_err();
    // That one of them is merely away does not outweigh it.
    let AcquireError::Fatal(text) = &error else {
        panic!("{error:?}");
    };
    let places = [
        "check user and password",
        "127.0.0.1:1: ",
        "check the vhost",
    ]
    .map(|said| text.find(said));
    assert!(places.iter().all(Option::is_some), "{text}");
    assert!(places.is_sorted(), "{text}");
}
