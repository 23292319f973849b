//! What people read when a configuration is wrong, and when they ask for it.

use std::path::PathBuf;

use super::key::Allowed;
use super::{ConfigError, Layers, Overrides, Settings, SinkSettings, keys, show_json, show_text};

mod errors;
mod secrets;

const GOOD: &str = r#"
[relay]
name = "policy"
[postgres]
url = "postgres://relay:hidden@db/app"
[kafka.properties]
"bootstrap.servers" = "localhost:9092"
"#;

/// A file of its own that ends with the test.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let name = format!("outbox-config-{}-{}", std::process::id(), number());
        let path = std::env::temp_dir().join(name).with_extension("toml");
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn pairs(written: &[(&str, &str)]) -> Vec<(String, String)> {
    written
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn layers(
    text: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> (File, Result<Layers, ConfigError>) {
    let file = File::new(text);
    let overrides = Overrides {
        file: Some(file.0.clone()),
        values: pairs(flags),
    };
    let layers = Layers::read(&overrides, pairs(environment));
    (file, layers)
}

/// The error of a configuration, its file called `o.toml`.
fn error(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let (file, layers) = layers(text, environment, flags);
    let error = layers
        .and_then(|layers| Settings::read(&layers))
        .err()
        .expect("an error");
    error
        .to_string()
        .replace(&file.0.display().to_string(), "o.toml")
}

fn settings(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Settings {
    let (_file, layers) = layers(text, environment, flags);
    layers.and_then(|layers| Settings::read(&layers)).unwrap()
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let settings = settings(GOOD, &[], &[]);
    assert_eq!(settings.slot(), "outbox_policy");
    assert_eq!(settings.destinations, ["*"]);
    assert_eq!(settings.batch.messages_max, 10_000);
    assert_eq!(settings.batch.bytes_max, 8 << 20);
    assert_eq!(settings.buffer_bytes_max, 16 << 20);
    let SinkSettings::Kafka(kafka) = &settings.sink else {
        panic!("not Kafka")
    };
    assert_eq!(kafka.message_bytes_max, 1 << 20);
    assert_eq!(kafka.partitions, 6);
    assert_eq!(settings.drain_max.as_secs(), 20);
    assert_eq!(settings.listen.to_string(), "127.0.0.1:9464");
    assert!(settings.failover_slot && settings.log_json && !kafka.create_topics);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let text = format!("{GOOD}[batch]\nmessages_max = 1\n");
    let environment = [
        ("OUTBOX_BATCH__MESSAGES_MAX", "2"),
        ("OUTBOX_RELAY__DESTINATIONS", "a, b-*"),
    ];
    assert_eq!(settings(&text, &[], &[]).batch.messages_max, 1);
    let by_environment = settings(&text, &environment, &[]);
    assert_eq!(by_environment.batch.messages_max, 2);
    assert_eq!(by_environment.destinations, ["a", "b-*"]);
    let by_flag = settings(&text, &environment, &[("batch.messages_max", "3")]);
    assert_eq!(by_flag.batch.messages_max, 3);
}

#[test]
fn each_word_that_the_documentation_allows_is_accepted() {
    for key in keys::all() {
        let Allowed::OneOf(words) = key.allowed else {
            continue;
        };
        for word in words {
            settings(GOOD, &[], &[(key.name, word)]);
        }
        let text = error(GOOD, &[], &[(key.name, "no-such-word")]);
        assert!(text.ends_with(&key.allowed.expected()), "{text}");
    }
}

#[test]
fn a_url_in_a_stronger_place_wins_over_the_other_kind() {
    let file = File::new("postgres://relay@elsewhere/app\n");
    let path = file.0.display().to_string();
    let by_file = settings(GOOD, &[("OUTBOX_POSTGRES__URL_FILE", &path)], &[]);
    assert!(format!("{:?}", by_file.address).contains("elsewhere"));
    let text = GOOD.replace("url =", "url_file =");
    let by_url = settings(
        &text,
        &[("OUTBOX_POSTGRES__URL", "postgres://u@other/d")],
        &[],
    );
    assert!(format!("{:?}", by_url.address).contains("other"));
    let text = GOOD.replace("url =", "url_file = \"x\"\nurl =");
    assert_eq!(
        error(&text, &[], &[]),
        "o.toml:5: postgres.url_file is set, and so is postgres.url (o.toml:6): keep one of them"
    );
}

#[test]
fn show_names_every_value_and_its_origin_and_masks_secrets() {
    let environment = [
        ("OUTBOX_KAFKA__PROPERTIES__SASL_PASSWORD", "hidden"),
        ("OUTBOX_BATCH__MESSAGES_MAX", "2"),
    ];
    let (file, layers) = layers(GOOD, &environment, &[("log.format", "text")]);
    let layers = layers.unwrap();
    let text = show_text(&layers).replace(&file.0.display().to_string(), "o.toml");
    assert!(!text.contains("hidden"), "{text}");
    let json = show_json(&layers);
    assert!(!json.to_string().contains("hidden"), "{json}");
    for line in [
        "relay.name = \"policy\"  # o.toml:3",
        "relay.destinations = [\"*\"]  # default",
        "postgres.url = \"postgres://relay:********@db/app\"  # o.toml:5",
        "postgres.url_file = unset  # default",
        "batch.messages_max = 2  # environment OUTBOX_BATCH__MESSAGES_MAX",
        "log.format = \"text\"  # command line",
        "kafka.properties.bootstrap.servers = \"localhost:9092\"  # o.toml:7",
        "kafka.properties.sasl.password = \"********\"  # environment \
         OUTBOX_KAFKA__PROPERTIES__SASL_PASSWORD",
    ] {
        assert!(
            text.lines().any(|written| written == line),
            "{line} is not in:\n{text}"
        );
    }
    assert_eq!(json["batch.messages_max"]["value"], 2);
    assert_eq!(
        json["relay.destinations"]["value"],
        serde_json::json!(["*"])
    );
    assert_eq!(
        json["postgres.url"]["value"],
        "postgres://relay:********@db/app"
    );
    assert_eq!(json["kafka.properties.sasl.password"]["value"], "********");
}
