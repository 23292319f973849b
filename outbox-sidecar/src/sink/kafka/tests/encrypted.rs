//! Each way to connect, against a broker that has a listener for it.

use std::sync::OnceLock;

use outbox_core::sink::{AcquireError, Sink};
use testbed::certificates::{Authority, Certificate};
use testbed::{KafkaEncryption, KafkaServer};

use super::broker::wait;
use super::support::{Relay, publish_surely};
use crate::connection_table::ConnectionTable;
use crate::sink::kafka::{KafkaSink, TopicReader};
use crate::sink::published::ReadError;

/// A broker with encrypted listeners, and a directory for what its clients need.
struct Site {
    server: KafkaServer,
    directory: tempfile::TempDir,
}

impl Site {
    /// Its certificate is for `localhost` alone; `relay` may log in with `canary`.
    fn new() -> Self {
        let servers = Authority::new("authority of the brokers").unwrap();
        let clients = Authority::new("authority of the clients").unwrap();
        let certificate = servers.server(&["localhost"]).unwrap();
        let encryption = KafkaEncryption::new(&certificate, &clients.pem).user("relay", "canary");
        let site = Self {
            server: wait(KafkaServer::options().encrypted(encryption).start()),
            directory: tempfile::tempdir().unwrap(),
        };
        site.write("ca.pem", &servers.pem);
        site.write("other-ca.pem", &clients.pem);
        site.carry("relay", &clients.client("relay").unwrap());
        site.carry("stranger", &servers.client("relay").unwrap());
        site.write("password", "canary\n");
        site.write("wrong-password", "no\n");
        site
    }

    fn shared() -> &'static Self {
        static SITE: OnceLock<Site> = OnceLock::new();
        SITE.get_or_init(Self::new)
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn carry(&self, name: &str, certificate: &Certificate) {
        self.write(&format!("{name}.pem"), &certificate.pem);
        self.write(&format!("{name}.key"), &certificate.key_pem);
    }

    /// A relay with these properties, as `name=value`, where files are those of the directory.
    fn relay(&self, bootstrap: &str, properties: &str) -> Relay {
        let mut relay = Relay::at(bootstrap);
        for property in properties.split_whitespace() {
            let (name, value) = property.split_once('=').unwrap();
            let is_file = name.ends_with("location") || name == "password_file";
            let value = if is_file {
                self.path(value)
            } else {
                value.to_owned()
            };
            if name == "password_file" {
                relay.settings.password_file = Some(value.into());
            } else {
                relay.settings.properties.insert(name.to_owned(), value);
            }
        }
        relay
    }

    /// An error without what differs from run to run.
    fn readable(&self, text: &str) -> String {
        let mut text = text.replace(&format!("{}/", self.directory.path().display()), "");
        for (place, name) in [
            (self.server.tls(), "kafka:9093"),
            (self.server.mutual_tls(), "kafka:9094"),
            (self.server.login(), "kafka:9095"),
        ] {
            let (_, port) = place.split_once(':').unwrap();
            text = text.replace(&place, name);
            text = text.replace(
                &format!("127.0.0.1:{port}"),
                &name.replace("kafka", "127.0.0.1"),
            );
        }
        text
    }
}

/// Does all that a relay and its commands do with Kafka.
fn use_it(relay: &Relay) -> Result<(), AcquireError> {
    let mut administration = relay.administration();
    administration.broker_summary()?;
    administration.create_checkpoint_topic()?;
    relay.create_topic(&relay.topic, 3, &[]);
    administration.write_genesis(&relay.checkpoint(0))?;
    assert!(administration.describe_checkpoint_topic()?.is_some());
    let mut sink = relay.sink();
    sink.acquire(1)?;
    publish_surely(&mut sink, &relay.batch(1, 10));
    assert_eq!(relay.sink().peek()?.unwrap().sequence, 1);
    let mut count = 0;
    let reader = TopicReader::new(&relay.settings).unwrap();
    let deadline = std::time::Instant::now() + super::support::SOON;
    let read = reader.read(&relay.topic, None, deadline, |_| {
        count += 1;
        Ok::<_, ReadError>(())
    });
    read.unwrap();
    assert_eq!(count, 10);
    Ok(())
}

const CA: &str = "ssl.ca.location=ca.pem";
const CARRIED: &str = "ssl.certificate.location=relay.pem ssl.key.location=relay.key";
const STRANGE: &str = "ssl.certificate.location=stranger.pem ssl.key.location=stranger.key";

#[test]
fn each_method_works_or_says_which_broker_refuses_why_and_what_to_do() {
    let site = Site::shared();
    let (tls, mutual, login) = (
        site.server.tls(),
        site.server.mutual_tls(),
        site.server.login(),
    );
    let by_address = tls.replace("localhost", "127.0.0.1");
    let ssl = format!("security.protocol=ssl {CA}");
    let sasl = format!("security.protocol=sasl_ssl {CA} sasl.username=relay");
    let cases = [
        ("TLS", &tls, ssl.clone()),
        (
            "TLS",
            &tls,
            "security.protocol=ssl ssl.ca.location=other-ca.pem".to_owned(),
        ),
        ("TLS", &tls, "security.protocol=ssl".to_owned()),
        ("TLS, reached by another name", &by_address, ssl.clone()),
        (
            "TLS, reached by another name",
            &by_address,
            format!("{ssl} ssl.endpoint.identification.algorithm=none"),
        ),
        (
            "TLS",
            &tls,
            "security.protocol=ssl ssl.ca.location=none.pem".to_owned(),
        ),
        (
            "TLS with client certificates",
            &mutual,
            format!("{ssl} {CARRIED}"),
        ),
        ("TLS with client certificates", &mutual, ssl.clone()),
        (
            "TLS with client certificates",
            &mutual,
            format!("{ssl} {STRANGE}"),
        ),
        (
            "SASL over TLS",
            &login,
            format!("{sasl} sasl.mechanism=PLAIN sasl.password=canary"),
        ),
        (
            "SASL over TLS",
            &login,
            format!("{sasl} sasl.mechanism=SCRAM-SHA-256 sasl.password=canary"),
        ),
        (
            "SASL over TLS",
            &login,
            format!("{sasl} sasl.mechanism=SCRAM-SHA-512 sasl.password=canary"),
        ),
        (
            "SASL over TLS",
            &login,
            format!("{sasl} sasl.mechanism=SCRAM-SHA-512 password_file=password"),
        ),
        (
            "SASL over TLS",
            &login,
            format!("{sasl} sasl.mechanism=PLAIN sasl.password=no"),
        ),
        (
            "SASL over TLS",
            &login,
            format!("{sasl} sasl.mechanism=SCRAM-SHA-256 password_file=wrong-password"),
        ),
        (
            "SASL over TLS",
            &login,
            format!("{sasl} sasl.mechanism=SCRAM-SHA-512 sasl.password=no"),
        ),
        (
            "TLS",
            &tls,
            format!("{sasl} sasl.mechanism=PLAIN sasl.password=canary"),
        ),
    ];
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let start = |(_, bootstrap, properties): &(&str, &String, String)| {
            let relay = site.relay(bootstrap, properties);
            scope.spawn(move || outcome(&relay))
        };
        let started: Vec<_> = cases.iter().map(start).collect();
        started
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let columns = [
        "listener",
        "`kafka.properties`, `kafka.password_file`",
        "result",
    ];
    let mut table = ConnectionTable::new("kafka", &columns);
    for ((listener, _, properties), outcome) in cases.iter().zip(outcomes) {
        let written = properties.replace("sasl.username=relay ", "");
        let said = match outcome {
            Ok(()) => "works".to_owned(),
            Err(text) => site.readable(&text),
        };
        let secret = said.contains("canary");
        assert!(!secret && !said.contains(site.path("").as_str()), "{said}");
        table.add(&[
            listener,
            &format!("`{}`", written.replace(' ', "` `")),
            &said,
        ]);
    }
    table.check();
}

/// The relay is refused as the commands are, and as one that never asks again.
fn outcome(relay: &Relay) -> Result<(), String> {
    // Files that are not there are found before a broker is asked.
    if let Err(error) = crate::sink::kafka::KafkaAdministration::new(relay.settings.clone()) {
        let error = error.to_string();
        assert_eq!(
            KafkaSink::new(relay.settings.clone())
                .err()
                .unwrap()
                .to_string(),
            error
        );
        return Err(error);
    }
    match use_it(relay) {
        Ok(()) => Ok(()),
        Err(AcquireError::Fatal(text)) => {
            let peeked = KafkaSink::new(relay.settings.clone()).unwrap().peek();
            assert_eq!(peeked.unwrap_err().to_string(), text);
            Err(text)
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_listener_of_another_kind_is_taken_for_one_that_is_away_with_a_hint() {
    let site = Site::shared();
    let plain = site.server.bootstrap().to_owned();
    for (bootstrap, properties, hint) in [
        (
            site.server.tls(),
            "",
            "if this listener wants TLS, set security.protocol",
        ),
        (
            plain,
            "security.protocol=ssl",
            "if this listener has no TLS",
        ),
    ] {
        let relay = site.relay(&bootstrap, properties);
        let summary = relay.administration().broker_summary();
        let said = match summary {
            Err(AcquireError::Unavailable(said)) => said,
            other => panic!("{properties}: {other:?}"),
        };
        assert!(said.contains(hint), "{said}");
    }
}
