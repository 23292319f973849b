//! The files and the command of one node that is broker and controller.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testbed_supervisor::Spawn;

use crate::directory::RunDirectory;
use crate::error::Error;
use crate::kafka::encrypted::{EncryptedPorts, EncryptionFiles};
use crate::kafka::options::KafkaOptions;
use crate::provision::KafkaInstallation;
use crate::server::run_to_end;
use crate::user::ServerUser;

const FORMAT_MAX: Duration = Duration::from_secs(120);
/// Any 16 bytes in URL-safe base 64; no cluster here has neighbours.
const CLUSTER_ID: &str = "b3V0Ym94LXRlc3RiZWQtMQ";
const SETTINGS: [(&str, &str); 19] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    (
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MUTUAL:SSL,LOGIN:SASL_SSL",
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
    // Nobody declares a frozen broker dead, and none gives its leadership up while it still runs:
    // the module `fence` says why.
    ("broker.session.timeout.ms", "3600000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("controlled.shutdown.enable", "false"),
];
/// The node as a controller alone.
const CONTROLLER_SETTINGS: [(&str, &str); 4] = [
    ("process.roles", "controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT"),
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
    pub(super) encrypted: EncryptedPorts,
}

/// One node in a directory of its own.
#[derive(Debug)]
pub(super) struct Node {
    directory: RunDirectory,
    user: Option<ServerUser>,
    installation: KafkaInstallation,
    java: Vec<&'static str>,
    controller: u16,
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
            controller: ports.controller,
        };
        let properties = node.properties();
        write(&properties, &node.settings(ports, options))?;
        write(
            &node.controller_properties(),
            &node.controller_settings(ports),
        )?;
        let mut command = node
            .java("kafka.tools.StorageTool", &JAVA_QUICK_START)
            .args(["format", "-t", CLUSTER_ID, "-c"])
            .arg(properties.to_string_lossy());
        if let Some(encrypted) = &options.encrypted {
            node.encryption().write(encrypted)?;
            for scram in encrypted.scram_users() {
                command = command.args(["--add-scram".to_owned(), scram]);
            }
        }
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

    /// The node as a controller alone, on the same data.
    pub(super) fn controller_command(&self) -> Spawn {
        self.java("kafka.Kafka", &JAVA_QUICK_START)
            .arg(self.controller_properties().to_string_lossy())
    }

    pub(super) fn controller_log(&self) -> PathBuf {
        self.path("controller.log")
    }

    /// Unregisters the broker at the controller.
    pub(super) fn unregister_command(&self) -> Spawn {
        let controller = format!("127.0.0.1:{}", self.controller);
        self.java("org.apache.kafka.tools.ClusterTool", &JAVA_QUICK_START)
            .args(["unregister", "--id", "1", "--bootstrap-controller"])
            .arg(controller)
    }

    pub(super) fn unregister_log(&self) -> PathBuf {
        self.path("unregister.log")
    }

    /// Lets clients read and describe a topic, and with that nothing more.
    /// Everyone may do these operations on a resource, and from then on no others.
    pub(super) fn allow_only_command(
        &self,
        resource: [&str; 2],
        operations: &[&str],
        bootstrap: &str,
    ) -> Spawn {
        let operations = operations.iter().flat_map(|name| ["--operation", name]);
        self.java("org.apache.kafka.tools.AclCommand", &JAVA_QUICK_START)
            .args(["--bootstrap-server", bootstrap, "--add"])
            .args(["--allow-principal", "User:ANONYMOUS"])
            .args(operations)
            .args(resource)
    }

    /// Gives a user another password.
    pub(super) fn set_password_command(
        &self,
        mechanism: &str,
        user: &str,
        password: &str,
        bootstrap: &str,
    ) -> Spawn {
        self.java("kafka.admin.ConfigCommand", &JAVA_QUICK_START)
            .args(["--bootstrap-server", bootstrap, "--alter"])
            .args(["--entity-type", "users", "--entity-name", user])
            .arg("--add-config")
            .arg(format!("{mechanism}=[password={password}]"))
    }

    pub(super) fn set_password_log(&self) -> PathBuf {
        self.path("set_password.log")
    }

    /// What the encrypted listeners read when the broker starts.
    pub(super) fn encryption(&self) -> EncryptionFiles {
        EncryptionFiles::of(self.directory.path())
    }

    pub(super) fn allow_only_log(&self) -> PathBuf {
        self.path("allow_only.log")
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
            encrypted,
        } = ports;
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{broker}");
        let controller = match options.membership {
            None => {
                listeners.push_str(&format!(",CONTROLLER://127.0.0.1:{controller}"));
                controller
            }
            Some(membership) => {
                line("process.roles", "broker");
                line("node.id", &membership.node_id.to_string());
                membership.controller
            }
        };
        let mut advertised = format!("PLAINTEXT://127.0.0.1:{broker}");
        if let Some(port) = options.proxied_as {
            listeners.push_str(&format!(",PROXIED://127.0.0.1:{proxied}"));
            advertised.push_str(&format!(",PROXIED://127.0.0.1:{port}"));
        }
        if let Some(options) = &options.encrypted {
            listeners.push_str(&encrypted.listeners());
            advertised.push_str(&encrypted.advertised());
            for (name, value) in self.encryption().settings(options) {
                line(&name, &value);
            }
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

    fn controller_settings(&self, ports: Ports) -> String {
        let controller = ports.controller;
        let mut lines = String::new();
        let mut line = |name: &str, value: &str| lines.push_str(&format!("{name}={value}\n"));
        CONTROLLER_SETTINGS
            .iter()
            .for_each(|(name, value)| line(name, value));
        line(
            "controller.quorum.voters",
            &format!("1@127.0.0.1:{controller}"),
        );
        line("listeners", &format!("CONTROLLER://127.0.0.1:{controller}"));
        line("log.dirs", &self.path("data").to_string_lossy());
        lines
    }

    fn controller_properties(&self) -> PathBuf {
        self.path("controller.properties")
    }

    fn properties(&self) -> PathBuf {
        self.path("server.properties")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::because(format!(
        "{} cannot be written",
        path.display()
    )))
}
