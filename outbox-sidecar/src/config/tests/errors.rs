//! What is said of a configuration that is wrong.

use super::*;

#[test]
fn an_unknown_key_names_file_line_and_what_was_meant() {
    assert_eq!(
        error("[relay]\nnmae = \"p\"\n", &[], &[]),
        "o.toml:2: unknown key relay.nmae: did you mean relay.name?"
    );
    assert_eq!(
        error(&format!("{GOOD}[btach]\n"), &[], &[]),
        "o.toml:8: unknown key btach: the sections are relay, postgres, kafka, rabbitmq, rabbitmq_stream, \
         stuck, batch, retry, limits, recovery, http, log"
    );
    assert_eq!(
        error(GOOD, &[("OUTBOX_LOG__LEVLE", "info")], &[]),
        "environment OUTBOX_LOG__LEVLE: unknown key log.levle: did you mean log.level?"
    );
    assert_eq!(
        error(GOOD, &[], &[("log.colour", "red")]),
        "command line: unknown key log.colour: log has level, format"
    );
}

#[test]
fn exactly_one_sink() {
    assert_eq!(
        error("[relay]\nname = \"p\"\n", &[], &[]),
        "exactly one sink section is needed, [kafka], [rabbitmq], \
         [rabbitmq_stream] or [stdout]: found none in o.toml, the environment and the flags"
    );
    assert_eq!(
        error(&format!("{GOOD}[rabbitmq]\nurl = \"amqp://x\"\n"), &[], &[]),
        "exactly one sink section is needed, [kafka], [rabbitmq], \
         [rabbitmq_stream] or [stdout]: found kafka (o.toml:7) and rabbitmq (o.toml:9)"
    );
    assert_eq!(
        error(&format!("{GOOD}[stdout]\n"), &[], &[]),
        "exactly one sink section is needed, [kafka], [rabbitmq], \
         [rabbitmq_stream] or [stdout]: found kafka (o.toml:7) and stdout (o.toml:8)"
    );
    assert_eq!(
        error(&format!("{GOOD}[stdout]\nlines = 1\n"), &[], &[]),
        "o.toml:9: unknown key stdout.lines: stdout has no keys"
    );
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        error("[kafka]\n", &[], &[]),
        "relay.name is missing: expected 1 to 50 lower-case letters, digits and _ (slots allow no others) (looked in \
         o.toml, the environment and the flags)"
    );
    assert_eq!(
        error("[relay]\nname = \"p\"\n[kafka]\n", &[], &[]),
        "postgres.url is missing: expected a PostgreSQL URL such as postgres://relay@db/app \
         (looked in o.toml, the environment and the flags)"
    );
}

#[test]
fn a_bad_value_names_its_place_and_what_would_be_valid() {
    let cases = [
        (
            "stuck.policy",
            "skip",
            "is \"skip\": expected park-key, park or halt",
        ),
        (
            "relay.name",
            "Policy",
            "is \"Policy\": expected 1 to 50 lower-case letters, digits and _ \
                                   (slots allow no others)",
        ),
        (
            "relay.shard",
            "2/2",
            "is \"2/2\": expected i/n with i below n, and n at most 1024, such as 0/1",
        ),
        (
            "batch.messages_max",
            "0",
            "is 0: expected a whole number from 1 to 10000000",
        ),
        (
            "batch.messages_max",
            "many",
            "is \"many\": expected a whole number from 1 to 10000000",
        ),
        (
            "batch.bytes_max",
            "8XB",
            "is \"8XB\": expected a size from 1 KiB to 64 GiB, such as \
                                     \"8MiB\"",
        ),
        (
            "retry.delay_ms_max",
            "18446744073709551615",
            "is \"18446744073709551615\": expected a \
                                                         whole number from 1 to 86400000",
        ),
        (
            "retry.delay_ms_max",
            "1",
            "is 1: expected at least retry.delay_ms_min",
        ),
        (
            "kafka.create_topics",
            "yes",
            "is \"yes\": expected true or false",
        ),
        (
            "http.listen",
            "9464",
            "is 9464: expected an address and port, such as 127.0.0.1:9464",
        ),
        (
            "log.level",
            "loud",
            "is \"loud\": expected error, warn, info, debug or trace",
        ),
        ("log.format", "xml", "is \"xml\": expected json or text"),
    ];
    for (key, value, expected) in cases {
        let expected = expected.replace("is 9464", "is \"9464\"");
        assert_eq!(
            error(GOOD, &[], &[(key, value)]),
            format!("command line: {key} {expected}")
        );
    }
    assert_eq!(
        error(&format!("{GOOD}[kafka]\npartitions = \"six\"\n"), &[], &[]),
        "o.toml:9: kafka.partitions is \"six\": expected a whole number from 1 to 2147483647"
    );
}

#[test]
fn a_bad_url_is_not_repeated() {
    let text = error(
        GOOD,
        &[("OUTBOX_POSTGRES__URL", "postgres://u:hidden@")],
        &[],
    );
    assert!(
        text.starts_with("environment OUTBOX_POSTGRES__URL: postgres.url is not valid"),
        "{text}"
    );
    assert!(!text.contains("hidden"), "{text}");
}

#[test]
fn what_this_release_lacks_is_said() {
    let cases = [
        ("recovery.phantoms", "report", "use stop"),
        ("limits.messages_per_second_max", "5", "use 0, no limit"),
        (
            "http.token_file",
            "/t",
            "leave it empty: nothing can be changed over HTTP",
        ),
    ];
    for (key, value, instead) in cases {
        let text = error(GOOD, &[], &[(key, value)]);
        let end = format!("is not available in this release: {instead}");
        assert!(
            text.starts_with(&format!("command line: {key} = ")),
            "{text}"
        );
        assert!(text.ends_with(&end), "{text}");
    }
}

#[test]
fn a_refused_property_names_its_place_and_not_its_value() {
    let text = error(
        &format!("{GOOD}\"transactional.id\" = \"mine\"\n"),
        &[],
        &[],
    );
    assert!(
        text.starts_with("o.toml:8: kafka.properties: \"transactional.id\" may not be set"),
        "{text}"
    );
    let text = error(
        GOOD,
        &[("OUTBOX_KAFKA__PROPERTIES__SASL_PASWORD", "hidden")],
        &[],
    );
    assert!(
        text.starts_with("environment OUTBOX_KAFKA__PROPERTIES__SASL_PASWORD: "),
        "{text}"
    );
    assert!(!text.contains("hidden"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_key() {
    let text = error(
        GOOD,
        &[],
        &[("postgres.password_file", "/nowhere/password")],
    );
    assert_eq!(
        text,
        "command line: postgres.password_file names /nowhere/password: No such file or directory \
         (os error 2)"
    );
    let overrides = Overrides {
        file: Some("/nowhere/o.toml".into()),
        values: Vec::new(),
    };
    let error = Layers::read(&overrides, []).err().unwrap();
    assert_eq!(
        error.to_string(),
        "/nowhere/o.toml: No such file or directory (os error 2)"
    );
}
