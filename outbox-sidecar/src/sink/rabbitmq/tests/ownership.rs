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
