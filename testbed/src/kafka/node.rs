//! The files and the command of one node that is broker and controller.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use testbed_supervisor::Spawn;

use crate::directory::RunDirectory;
use crate::error::Error;
use crate::kafka::options::KafkaOptions;
use crate::provision::KafkaInstallation;
use crate::server::run_to_end;
use crate::user::ServerUser;

const FORMAT_MAX: Duration = Duration::from_secs(120);
/// Any 16 bytes in URL-safe base 64; every cluster here has one node and no neighbours.
const CLUSTER_ID: &str = "b3V0Ym94LXRlc3RiZWQtMQ";
const SETTINGS: [(&str, &str); 18] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    (
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
    ("auto.create.topics.enable", "false"),
    ("default.replication.factor", "1"),
    ("min.insync.replicas", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "3"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "3"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
];
const JAVA: [&str; 4] = [
    "-Xms128m",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    "-Djava.awt.headless=true",
];
const JAVA_QUICK_START: [&str; 3] = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
const JAVA_THROUGHPUT: [&str; 2] = ["-Xmx1g", "-XX:+UseG1GC"];

/// The ports of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) broker: u16,
    pub(super) controller: u16,
    pub(super) proxied: u16,
}

/// One node in a directory of its own.
#[derive(Debug)]
pub(super) struct Node {
    directory: RunDirectory,
    user: Option<ServerUser>,
    installation: KafkaInstallation,
    java: Vec<&'static str>,
}

impl Node {
    pub(super) async fn create(
        installation: KafkaInstallation,
        ports: Ports,
        options: &KafkaOptions,
    ) -> Result<Self, Error> {
        let user = ServerUser::when_root()?;
        let mut java = JAVA.to_vec();
        java.extend(if options.throughput {
            &JAVA_THROUGHPUT[..]
        } else {
            &JAVA_QUICK_START[..]
        });
        let directory = RunDirectory::create("kafka", user)?;
        let node = Self {
            directory,
            user,
            installation,
            java,
        };
        let properties = node.properties();
        fs::write(&properties, node.settings(ports, options)).map_err(Error::because(format!(
            "{} cannot be written",
            properties.display()
        )))?;
        let command = node
            .java("kafka.tools.StorageTool", &JAVA_QUICK_START)
            .args(["format", "-t", CLUSTER_ID, "-c"])
            .arg(properties.to_string_lossy());
        run_to_end(
            "Kafka's format",
            command,
            &node.path("format.log"),
            FORMAT_MAX,
        )
        .await?;
        Ok(node)
    }

    pub(super) fn command(&self) -> Spawn {
        self.java("kafka.Kafka", &self.java)
            .arg(self.properties().to_string_lossy())
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path("kafka.log")
    }

    fn java(&self, class: &str, flags: &[&str]) -> Spawn {
        let command = Spawn::new(self.installation.java().to_string_lossy())
            .args(flags.iter().copied())
            .args([
                "-cp".to_owned(),
                self.installation.class_path(),
                class.to_owned(),
            ])
            .directory(self.directory.path());
        match self.user.map(ServerUser::ids) {
            Some((uid, gid)) => command.user(uid, gid),
            None => command,
        }
    }

    fn settings(&self, ports: Ports, options: &KafkaOptions) -> String {
        let mut lines = String::new();
        let mut line = |name: &str, value: &str| lines.push_str(&format!("{name}={value}\n"));
        SETTINGS.iter().for_each(|(name, value)| line(name, value));
        let Ports {
            broker,
            controller,
            proxied,
        } = ports;
        let mut listeners =
            format!("PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}");
        let mut advertised = format!("PLAINTEXT://127.0.0.1:{broker}");
        if let Some(port) = options.proxied_as {
            listeners.push_str(&format!(",PROXIED://127.0.0.1:{proxied}"));
            advertised.push_str(&format!(",PROXIED://127.0.0.1:{port}"));
        }
        line(
            "controller.quorum.voters",
            &format!("1@127.0.0.1:{controller}"),
        );
        line("listeners", &listeners);
        line("advertised.listeners", &advertised);
        line("log.dirs", &self.path("data").to_string_lossy());
        options
            .settings
            .iter()
            .for_each(|(name, value)| line(name, value));
        lines
    }

    fn properties(&self) -> PathBuf {
        self.path("server.properties")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
