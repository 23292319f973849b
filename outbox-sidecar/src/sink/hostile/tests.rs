//! What stands in records and in addresses of brokers, almost right.

use testbed::mutation;

const TARGET: &str = "message_text";

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
    mutation::replay(TARGET, &corpus, super::header_values);
}

#[test]
fn headers_of_rows_with_seeded_mutations_are_read_or_refused() {
    let corpus = [
        r#"{"a": "b", "c": "\u0041\ud83d\ude00"}"#,
        r#"{"n": 1, "list": [[[[[[1e308]]]]]], "o": {"x": null}}"#,
        "{}",
        "null",
    ];
    mutation::replay(TARGET, &corpus, super::row_headers);
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
    mutation::replay("connection", &corpus, super::address);
}
