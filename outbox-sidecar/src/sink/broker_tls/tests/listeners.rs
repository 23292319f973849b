use std::path::PathBuf;
use std::time::Duration;

use outbox_core::MessageId;
use outbox_core::sink::AcquireError;
use testbed::certificates::{Authority, Certificate};
use testbed::{RabbitEncryption, RabbitServer};
use tokio::runtime::{Builder, Runtime};

use crate::connection_table::ConnectionTable;
use crate::sink::rabbitmq::{RabbitInspection, RabbitSettings};
use crate::sink::rabbitmq_stream::{StreamInspection, StreamSettings};

/// So often in a row a refusal may be lost.
const RESETS_MAX: usize = 50;

/// Nodes with TLS, of which one wants a certificate of everybody, and what their clients need.
struct Site {
    runtime: Runtime,
    open: RabbitServer,
    mutual: RabbitServer,
    directory: tempfile::TempDir,
}

impl Site {
    /// The certificates are for `localhost` alone.
    fn new() -> Self {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        let servers = Authority::new("authority of the nodes").unwrap();
        let clients = Authority::new("authority of the clients").unwrap();
        let certificate = servers.server(&["localhost"]).unwrap();
        let encryption = RabbitEncryption::new(&certificate, &clients.pem);
        let demanding = encryption.clone().demanding_certificates();
        let start = |encryption: &RabbitEncryption| {
            let server = runtime
                .block_on(RabbitServer::start_encrypted(encryption))
                .unwrap();
            for arguments in [
                &["add_user", "relay", "canary"][..],
                &["set_permissions", "relay", ".*", ".*", ".*"][..],
            ] {
                runtime.block_on(server.control(arguments)).unwrap();
            }
            server
        };
        let site = Self {
            open: start(&encryption),
            mutual: start(&demanding),
            directory: tempfile::tempdir().unwrap(),
            runtime,
        };
        site.write("ca.pem", &servers.pem);
        site.write("other-ca.pem", &clients.pem);
        site.carry("relay", &clients.client("relay").unwrap());
        site.carry("nobody", &clients.client("nobody").unwrap());
        site.carry("stranger", &servers.client("relay").unwrap());
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.path(name), text).unwrap();
        let owners = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), owners).unwrap();
    }

    fn carry(&self, name: &str, certificate: &Certificate) {
        self.write(&format!("{name}.pem"), &certificate.pem);
        self.write(&format!("{name}.key"), &certificate.key_pem);
    }

    /// An address for one protocol, of one that is written for both.
    fn address(&self, written: &str, is_stream: bool) -> String {
        let directory = format!("file={}/", self.directory.path().display());
        let (scheme, open, mutual) = match is_stream {
            true => (
                "rabbitmq-stream+tls://",
                self.open.encrypted_stream(),
                self.mutual.encrypted_stream(),
            ),
            false => ("amqps://", self.open.amqps(), self.mutual.amqps()),
        };
        let by_address = open.replace("localhost", "127.0.0.1");
        written
            .replace("file=", &directory)
            .replace("mutual", &mutual)
            .replace("mq-address", &by_address)
            .replace("mq", &open)
            .replace("SCHEME://", scheme)
    }

    /// An error without what differs from run to run.
    fn readable(&self, text: &str) -> String {
        let mut text = text.replace(&format!("{}/", self.directory.path().display()), "");
        for (place, name) in [
            (self.open.amqps(), "mq"),
            (self.open.encrypted_stream(), "mq"),
            (self.mutual.amqps(), "mutual"),
            (self.mutual.encrypted_stream(), "mutual"),
        ] {
            text = text.replace(&place, name);
            text = text.replace(&place.replace("localhost", "127.0.0.1"), "mq-address");
        }
        text
    }
}

fn connect(url: String, is_stream: bool) -> Result<(), AcquireError> {
    let relay = format!("relay-{}", MessageId::generate());
    let heartbeat = Duration::from_secs(10);
    if is_stream {
        return StreamInspection::connect(&StreamSettings {
            relay,
            urls: vec![url],
            url_file: None,
            unconfirmed_max: 1,
            checkpoint_stream: "outbox-checkpoints".into(),
            create_streams: false,
            heartbeat,
            message_bytes_max: 1000,
            phantoms_accepted: false,
        })
        .map(drop);
    }
    RabbitInspection::connect(&RabbitSettings {
        relay,
        urls: vec![url],
        url_file: None,
        unconfirmed_max: 1,
        create_queues: false,
        heartbeat,
        routes: Vec::new(),
        message_bytes_max: 1000,
    })
    .map(drop)
}

#[test]
fn each_method_works_or_says_which_node_refuses_why_and_what_to_do() {
    let site = Site::new();
    let _entered = site.runtime.enter();
    let carried = |name: &str| format!("certfile={name}.pem&keyfile={name}.key");
    let external = |name: &str| format!("{}&auth_mechanism=external", carried(name));
    let cases = [
        "SCHEME://relay:canary@mq/%2f?cacertfile=ca.pem".to_owned(),
        "SCHEME://relay:canary@mq/%2f".to_owned(),
        "SCHEME://relay:canary@mq/%2f?cacertfile=other-ca.pem".to_owned(),
        "SCHEME://relay:canary@mq-address/%2f?cacertfile=ca.pem".to_owned(),
        "SCHEME://relay:canary@mq/%2f?cacertfile=none.pem".to_owned(),
        "SCHEME://relay:no@mq/%2f?cacertfile=ca.pem".to_owned(),
        format!("SCHEME://mq/%2f?cacertfile=ca.pem&{}", external("relay")),
        format!("SCHEME://mq/%2f?cacertfile=ca.pem&{}", external("nobody")),
        format!("SCHEME://mq/%2f?cacertfile=ca.pem&{}", external("stranger")),
        format!(
            "SCHEME://relay:canary@mutual/%2f?cacertfile=ca.pem&{}",
            carried("relay")
        ),
        "SCHEME://relay:canary@mutual/%2f?cacertfile=ca.pem".to_owned(),
        "SCHEME://relay:canary@mq/%2f?verify=verify_none".to_owned(),
    ];
    let version = site.runtime.block_on(site.open.control(&["version"]));
    let is_documented = version.unwrap().trim().starts_with("3.10.");
    let mut table = ConnectionTable::new("rabbitmq", &["address", "AMQP", "streams"]);
    for written in &cases {
        let said = [false, true].map(|is_stream| {
            let attempt = || connect(site.address(written, is_stream), is_stream);
            // With TLS 1.3 the node refuses a certificate when we have begun to speak already: its
            // reset may overtake its word why, and the relay tries again.
            let is_reset = |outcome: &Result<(), AcquireError>| {
                matches!(outcome, Err(AcquireError::Unavailable(text)) if text.contains("os error"))
            };
            let mut outcome = attempt();
            for _ in 0..RESETS_MAX {
                if is_reset(&outcome) {
                    outcome = attempt();
                }
            }
            match outcome {
                Ok(()) => "works".to_owned(),
                Err(AcquireError::Fatal(text) | AcquireError::Unavailable(text)) => {
                    assert!(!text.contains("canary"), "{text}");
                    site.readable(&text)
                }
                Err(other) => panic!("{written}, {is_stream}: {other}"),
            }
        });
        // What 3.10 gets wrong, and the words for it, are not those of later ones.
        if !is_documented && written.contains("certfile=relay") {
            assert_eq!(said, ["works", "works"], "{written}");
        }
        let shown = written
            .replace("SCHEME://", "")
            .replace(":canary@", ":PASSWORD@");
        table.add(&[&format!("`{shown}`"), &said[0], &said[1]]);
    }
    if is_documented {
        table.check();
    }
}
