use lapin::types::{AMQPValue, LongString};

use super::reading::{make_queue, make_queue_with};
use super::support::{settings, shared, unique};
use crate::sink::rabbitmq::RabbitInspection;

#[test]
fn a_queue_tells_what_it_is() {
    let settings = settings(shared());
    let inspection = RabbitInspection::connect(&settings).unwrap();
    assert_eq!(inspection.queue(&unique("missing")), Ok(None));
    assert_eq!(inspection.exchange_exists("amq.topic"), Ok(true));
    assert_eq!(inspection.exchange_exists(&unique("missing")), Ok(false));
    assert_eq!(inspection.try_guard(&settings), Ok(()));

    let classic = unique("classic");
    make_queue(shared(), &classic, "classic");
    let facts = inspection.queue(&classic).unwrap().unwrap();
    assert_eq!(facts.durable, Some(true), "{facts:?}");

    let quorum = unique("quorum");
    let text = |value: &str| AMQPValue::LongString(LongString::from(value));
    make_queue_with(
        shared(),
        &quorum,
        &[
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", AMQPValue::LongInt(5)),
            ("x-dead-letter-exchange", text("dead")),
        ],
    );
    let facts = inspection.queue(&quorum).unwrap().unwrap();
    let argument = |name: &str| facts.arguments.get(name).map(String::as_str);
    assert_eq!(argument("x-queue-type"), Some("quorum"), "{facts:?}");
    assert_eq!(argument("x-delivery-limit"), Some("5"), "{facts:?}");
    assert_eq!(
        argument("x-dead-letter-exchange"),
        Some("dead"),
        "{facts:?}"
    );
    assert_eq!(facts.durable, Some(true), "{facts:?}");
}
