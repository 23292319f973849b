//! The files, the environment and the commands of one node.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testbed_supervisor::Spawn;

use crate::directory::RunDirectory;
use crate::error::Error;
use crate::provision::RabbitInstallation;
use crate::rabbitmq::encrypted::RabbitEncryption;
use crate::rabbitmq::files::Files;
use crate::user::ServerUser;

const COOKIE: &str = "OUTBOXTESTBED";
const PLUGINS: &str = "[rabbitmq_management,rabbitmq_stream,rabbitmq_auth_mechanism_ssl].\n";
/// Read instead of the system's. Without it the tools of 4.0 do not know the plugins' commands.
const CONF_ENV: &str = "PLUGINS_DIR=\"$RABBITMQ_HOME/plugins\"\n";
/// Two schedulers, and no port but on the loopback.
const ERLANG: &str = "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2";

/// The ports of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) stream: u16,
    pub(super) management: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
    pub(super) amqps: u16,
    pub(super) streams: u16,
}

/// One node in a directory of its own.
#[derive(Debug)]
pub(super) struct Node {
    directory: RunDirectory,
    user: Option<ServerUser>,
    installation: RabbitInstallation,
    ports: Ports,
}

impl Node {
    pub(super) fn create(
        installation: RabbitInstallation,
        ports: Ports,
        encryption: Option<&RabbitEncryption>,
    ) -> Result<Self, Error> {
        let user = ServerUser::when_root()?;
        let node = Self {
            directory: RunDirectory::create("rabbitmq", user)?,
            user,
            installation,
            ports,
        };
        let cookie = node.path(".erlang.cookie");
        node.write(&cookie, COOKIE)?;
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400)).map_err(Error::because(
            "the permissions of the Erlang cookie cannot be set",
        ))?;
        let mut settings = node.settings();
        if let Some(encryption) = encryption {
            node.encrypt(encryption)?;
            let home = node.installation.seen(node.directory.path());
            settings.push_str(&encryption.settings(home, ports.amqps, ports.streams));
        }
        node.write(&node.path("rabbitmq.conf"), &settings)?;
        node.write(&node.path("enabled_plugins"), PLUGINS)?;
        node.write(&node.path("rabbitmq-env.conf"), CONF_ENV)?;
        Ok(node)
    }

    /// Other certificates, to be used from the next start on.
    pub(super) fn encrypt(&self, encryption: &RabbitEncryption) -> Result<(), Error> {
        for (name, text) in encryption.files() {
            self.write(&self.path(name), text)?;
        }
        Ok(())
    }

    /// What the node has written.
    pub(super) fn files(&self) -> Files {
        Files::of(self.path("data").join(self.name()), self.name())
    }

    pub(super) fn command(&self) -> Spawn {
        self.program("rabbitmq-server")
    }

    pub(super) fn control_command(&self, tool: &str, arguments: &[&str]) -> Spawn {
        self.program(tool)
            .args(["--quiet", "--node", &self.name()])
            .args(arguments.iter().copied())
    }

    /// In the foreground: the daemon that a node would start outlives it.
    pub(super) fn epmd_command(&self) -> Spawn {
        let port = self.ports.epmd.to_string();
        self.installation
            .epmd(self.directory.path(), self.user)
            .args(["-port", &port, "-address", "127.0.0.1"])
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path("rabbitmq.log")
    }

    pub(super) fn epmd_log(&self) -> PathBuf {
        self.path("epmd.log")
    }

    pub(super) fn control_log(&self, name: &str) -> PathBuf {
        self.path(name)
    }

    fn name(&self) -> String {
        format!("node{}@localhost", self.ports.amqp)
    }

    fn program(&self, name: &str) -> Spawn {
        let home = self.installation.seen(self.directory.path());
        let path = |name| home.join(name).to_string_lossy().into_owned();
        self.installation
            .program(name, self.directory.path(), self.user)
            .env("HOME", path(""))
            .env("LANG", "C.UTF-8")
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_MNESIA_BASE", path("data"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("RABBITMQ_PID_FILE", path("rabbitmq.pid"))
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG)
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
    }

    fn settings(&self) -> String {
        let Ports {
            amqp,
            stream,
            management,
            ..
        } = self.ports;
        format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
             stream.listeners.tcp.1 = 127.0.0.1:{stream}\n\
             stream.advertised_host = 127.0.0.1\n\
             stream.advertised_port = {stream}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             vm_memory_high_watermark.absolute = 1GB\n\
             disk_free_limit.absolute = 50MB\n\
             loopback_users = none\n\
             log.console = true\n\
             log.console.level = info\n"
        )
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        fs::write(path, text).map_err(Error::because(format!(
            "{} cannot be written",
            path.display()
        )))?;
        self.user.map_or(Ok(()), |user| user.give(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
