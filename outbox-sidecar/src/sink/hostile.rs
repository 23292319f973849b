//! What stands in records and in addresses of brokers, almost right.

use std::time::Duration;

use outbox_core::MessageId;

use super::headers::{check_headers, each_header};
use super::message_text::{read_position, read_replay_number, read_timestamp};
use super::rabbitmq::{RabbitSettings, Route};
use super::rabbitmq_stream::StreamSettings;
use crate::hostile;

#[test]
fn header_values_with_seeded_mutations_are_read_or_refused() {
    let corpus = [
        "1:0/16B3748:0",
        "4294967295:FFFFFFFF/FFFFFFFF:4294967295",
        "2026-11-21T05:01:04.000250Z",
        "9999-12-31T23:59:60+23:59",
        "0190163d-8694-739b-aea5-966c26f8ad91",
        "7",
    ];
    hostile::replay_text(&corpus, |text| {
        let _ = read_position(text);
        let _ = read_timestamp(text);
        let _ = read_replay_number(text.as_bytes());
        let _ = text.parse::<MessageId>();
    });
}

#[test]
fn headers_of_rows_with_seeded_mutations_are_read_or_refused() {
    let corpus = [
        r#"{"a": "b", "c": "\u0041\ud83d\ude00"}"#,
        r#"{"n": 1, "list": [[[[[[1e308]]]]]], "o": {"x": null}}"#,
        "{}",
        "null",
    ];
    hostile::replay_text(&corpus, |text| {
        let _ = check_headers(text);
        let _ = each_header(text, |_, _| ());
    });
}

#[test]
fn addresses_of_brokers_with_seeded_mutations_are_addresses_or_errors() {
    let corpus = [
        "amqps://re%40lay:p%2fw@mq:5671/%2fa?cacertfile=ca.pem&verify=verify_peer",
        "amqp://relay@[::1]:1/v?heartbeat=1&frame_max=2&channel_max=3&connection_timeout=4",
        "rabbitmq-stream+tls://re%40lay:p%2fw@[::1]:1234/%2fa?auth_mechanism=external",
        "rabbitmq-stream://mq",
        "amqp:relay@mq",
    ];
    hostile::replay_text(&corpus, |url| {
        let urls = vec![url.to_owned()];
        let _ = RabbitSettings {
            relay: "relay".to_owned(),
            urls: urls.clone(),
            url_file: None,
            unconfirmed_max: 1,
            create_queues: false,
            heartbeat: Duration::from_secs(1),
            routes: Vec::<Route>::new(),
            message_bytes_max: 1000,
        }
        .check();
        let _ = StreamSettings {
            relay: "relay".to_owned(),
            urls,
            url_file: None,
            checkpoint_stream: "checkpoints".to_owned(),
            create_streams: false,
            unconfirmed_max: 1,
            heartbeat: Duration::from_secs(1),
            message_bytes_max: 1000,
            phantoms_accepted: false,
        }
        .check();
    });
}
