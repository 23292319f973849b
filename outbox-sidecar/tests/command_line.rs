//! Usage, configuration errors and `config --show`: what is printed, where, and the exit code.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use crate::program::{Directory, Outcome, outcome};

const CONFIGURATION: &str = r#"[relay]
name = "policy"
[postgres]
url = "postgres://relay:hidden@127.0.0.1:1/app"
[kafka.properties]
"bootstrap.servers" = "127.0.0.1:1"
"sasl.password" = "hidden"
"#;

/// A configuration error: one line on stderr, nothing on stdout, exit 2.
fn refused(configuration: &str, stderr: &str) {
    for command in [
        &["run"][..],
        &["check"],
        &["init"],
        &["status"],
        &["remove", "--yes"],
    ] {
        let expected = Outcome {
            code: 2,
            stdout: String::new(),
            stderr: format!("outbox-sidecar: {stderr}\n"),
        };
        assert_eq!(
            Directory::with_configuration(configuration).run(command),
            expected
        );
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    let directory = Directory::new();
    let help = directory.run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for command in [
        "init", "check", "run", "status", "stuck", "verify", "remove", "config",
    ] {
        assert!(
            help.stdout.contains(&format!("\n  {command} ")),
            "{}",
            help.stdout
        );
    }
    let stuck_replay = ["stuck", "replay"];
    let named = [
        "init",
        "check",
        "run",
        "status",
        "redeliver",
        "verify",
        "remove",
    ];
    let commands = named.iter().map(std::slice::from_ref);
    for command in commands.chain([&stuck_replay[..], &[]]) {
        let help = directory.run(&[command, &["--help"]].concat());
        assert!(
            help.stdout.contains("Exit codes:\n  0  "),
            "{}",
            help.stdout
        );
    }
    let version = directory.run(&["--version"]);
    assert_eq!(
        version.stdout,
        format!("outbox-sidecar {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn usage_errors_exit_2_and_go_to_stderr() {
    let directory = Directory::with_configuration(CONFIGURATION);
    for arguments in [
        &[][..],
        &["fly"],
        &["config"],
        &["run", "--no-such-flag"],
        &["init", "--backlog", "burn"],
        &["--set", "log.level", "config", "--show"],
    ] {
        let outcome = directory.run(arguments);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (2, ""),
            "{arguments:?}"
        );
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_unknown_key() {
    refused(
        &format!("{CONFIGURATION}[batch]\nmessage_max = 1\n"),
        "outbox.toml:9: unknown key batch.message_max: did you mean batch.messages_max?",
    );
}

#[test]
fn two_sinks() {
    refused(
        &format!("{CONFIGURATION}[stdout]\n"),
        "exactly one sink section is needed, [kafka], [rabbitmq], [rabbitmq_stream] or [stdout]: \
         found kafka (outbox.toml:6) and stdout (outbox.toml:8)",
    );
}

#[test]
fn no_name() {
    refused(
        &CONFIGURATION.replace("name = \"policy\"", ""),
        "relay.name is missing: expected 1 to 50 lower-case letters, digits and _ (slots allow no \
         others) (looked in outbox.toml, the environment and the flags)",
    );
}

#[test]
fn a_bad_url() {
    let outcome = Directory::with_configuration(CONFIGURATION).run(&[
        "--set",
        "postgres.url=http://relay:hidden@db/app",
        "run",
    ]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome
            .stderr
            .starts_with("outbox-sidecar: command line: postgres.url is not valid"),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("hidden"), "{}", outcome.stderr);
}

#[test]
fn what_a_connection_cannot_keep_is_refused_before_it_is_made() {
    for (more, said) in [
        (
            "sslmode=verify",
            "sslmode of the PostgreSQL URL must be one of",
        ),
        (
            "sslcrl=/crl.pem",
            "sslcrl of the PostgreSQL URL is not supported",
        ),
        (
            "sslrootcert=system&sslmode=require",
            "sslrootcert=system needs sslmode=verify-full",
        ),
    ] {
        let url = format!("postgres.url=postgres://relay:canary@db/app?{more}");
        let directory = Directory::with_configuration(CONFIGURATION);
        let outcome = directory.run(&["--set", &url, "run"]);
        assert_eq!(outcome.code, 2);
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("canary"), "{}", outcome.stderr);
    }
}

#[test]
fn no_configuration_at_all() {
    let outcome = Directory::new().run(&["run"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.ends_with(
            "in the environment and the flags; there is no file ./outbox.toml or \
             /etc/outbox/outbox.toml\n"
        ),
        "{}",
        outcome.stderr
    );
    let outcome = Directory::new().run(&["-c", "elsewhere.toml", "run"]);
    assert_eq!(outcome.code, 2);
    assert_eq!(
        outcome.stderr,
        "outbox-sidecar: elsewhere.toml: No such file or directory (os error 2)\n"
    );
}

#[test]
fn removal_asks_for_yes() {
    let outcome = Directory::with_configuration(CONFIGURATION).run(&["remove"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""));
    assert!(
        outcome
            .stderr
            .contains("drops slot and publication outbox_policy"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("--yes"), "{}", outcome.stderr);
}

#[test]
fn show_prints_each_value_with_its_origin() {
    let directory = Directory::with_configuration(CONFIGURATION);
    let mut program = directory.program(&["--set", "log.format=text", "config", "--show"]);
    let shown = outcome(program.env("OUTBOX_BATCH__BYTES_MAX", "1MiB"));
    let expected = r#"relay.name = "policy"  # outbox.toml:2
relay.destinations = ["*"]  # default
relay.shard = "0/1"  # default
postgres.url = "postgres://relay:********@127.0.0.1:1/app"  # outbox.toml:4
postgres.url_file = unset  # default
postgres.password_file = unset  # default
postgres.schema = "outbox"  # default
postgres.failover_slot = true  # default
kafka.delivery = "exactly-once"  # default
kafka.checkpoint_topic = "outbox-checkpoints"  # default
kafka.password_file = unset  # default
kafka.create_topics = false  # default
kafka.partitions = 6  # default
kafka.replication_factor = 3  # default
stuck.policy = "park-key"  # default
stuck.gone_after = 20  # default
stuck.gone_messages_max = 1000000  # default
batch.messages_max = 10000  # default
batch.bytes_max = "1MiB"  # environment OUTBOX_BATCH__BYTES_MAX
batch.transaction_ms_max = 5000  # default
retry.delay_ms_min = 50  # default
retry.delay_ms_max = 30000  # default
limits.buffer_bytes_max = "16MiB"  # default
limits.message_bytes_max = "1MiB"  # default
limits.messages_per_second_max = 0  # default
limits.drain_s_max = 20  # default
recovery.phantoms = "stop"  # default
http.listen = "127.0.0.1:9464"  # default
http.ready = "member"  # default
http.token_file = ""  # default
log.level = "info"  # default
log.format = "text"  # command line
kafka.properties.bootstrap.servers = "127.0.0.1:1"  # outbox.toml:6
kafka.properties.sasl.password = "********"  # outbox.toml:7
"#;
    assert_eq!(
        shown,
        Outcome {
            code: 0,
            stdout: expected.to_owned(),
            stderr: String::new()
        }
    );
}

#[test]
fn show_prints_json() {
    let directory = Directory::with_configuration(CONFIGURATION);
    let shown = directory.run(&["config", "--show", "--json"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
    assert!(!shown.stdout.contains("hidden"), "{}", shown.stdout);
    let json: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(
        json["kafka.partitions"],
        serde_json::json!({ "value": 6, "origin": "default" })
    );
    assert_eq!(
        json["relay.name"],
        serde_json::json!({ "value": "policy", "origin": "outbox.toml:2" })
    );
    assert_eq!(json["postgres.url_file"]["value"], serde_json::Value::Null);
}

#[test]
fn an_environment_of_others_is_left_alone() {
    let directory = Directory::with_configuration(CONFIGURATION);
    let mut program = directory.program(&["config", "--show"]);
    program
        .env("OUTBOX_SERVICE_HOST", "10.0.0.1")
        .env("OUTBOX_LATIN", OsStr::from_bytes(b"\xe4"))
        .env(OsStr::from_bytes(b"LATIN_\xe4"), "1");
    assert_eq!(outcome(&mut program).code, 0);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let directory = Directory::with_configuration(CONFIGURATION);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut program = directory.program(&["config", "--show"]);
    program.stdout(Stdio::from(writer)).stderr(Stdio::piped());
    let output = program.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
