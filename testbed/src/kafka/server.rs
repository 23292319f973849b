//! A broker that a test can stop, kill, freeze and start again.

use std::path::Path;
use std::time::Duration;

use testbed_supervisor::{Signal, Target};

use crate::error::Error;
use crate::kafka::address::{KafkaAddress, blocking};
use crate::kafka::encrypted::{EncryptedPorts, KafkaEncryption};
use crate::kafka::fence::unregister;
use crate::kafka::node::{Node, Ports};
use crate::kafka::options::KafkaOptions;
use crate::kafka::probe;
use crate::ports::ReservedPort;
use crate::provision;
use crate::server::{Server, run_to_end};

/// Two Java starts and the first transaction, on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(60);
/// One Java start, on a busy machine.
const TOOL_MAX: Duration = Duration::from_secs(60);
/// A port can be taken between its choice and the broker's start.
const START_ATTEMPTS_MAX: usize = 3;

/// One node, broker and controller, with data of its own; dropped, both are gone. Topics are never
/// created by themselves.
#[derive(Debug)]
pub struct KafkaServer {
    // Dropped before the node: files must not vanish under a running broker.
    server: Server,
    address: KafkaAddress,
    proxied: u16,
    node: Node,
    /// Of the whole cluster; ours unless we are a member.
    controller: u16,
    is_member: bool,
    encrypted: EncryptedPorts,
    _ports: [ReservedPort; 6],
}

impl KafkaServer {
    /// A broker with the test bed's settings.
    ///
    /// # Errors
    /// When Kafka cannot be provisioned, or does not serve transactions within two minutes.
    pub async fn start() -> Result<Self, Error> {
        Self::options().start().await
    }

    /// Options of a broker, to be started by [`KafkaOptions::start`].
    #[must_use]
    pub fn options() -> KafkaOptions {
        KafkaOptions::default()
    }

    pub(super) async fn start_with(options: KafkaOptions) -> Result<Self, Error> {
        let installation = blocking(provision::kafka).await?;
        let mut attempt = 1;
        loop {
            let reserved = [
                ReservedPort::find()?,
                ReservedPort::find()?,
                ReservedPort::find()?,
                ReservedPort::find()?,
                ReservedPort::find()?,
                ReservedPort::find()?,
            ];
            let [broker, controller, proxied, tls, mutual, login] =
                reserved.each_ref().map(ReservedPort::number);
            let encrypted = EncryptedPorts { tls, mutual, login };
            let ports = Ports {
                broker,
                controller,
                proxied,
                encrypted,
            };
            let node = Node::create(installation.clone(), ports, &options).await?;
            let kafka = Self {
                server: Server::new("Kafka", node.command(), node.log()),
                address: KafkaAddress::new(format!("127.0.0.1:{broker}")),
                proxied,
                controller: options
                    .membership
                    .map_or(controller, |membership| membership.controller),
                is_member: options.membership.is_some(),
                encrypted,
                node,
                _ports: reserved,
            };
            kafka.server.spawn()?;
            match kafka.ready().await {
                Ok(()) => return Ok(kafka),
                Err(error) if attempt == START_ATTEMPTS_MAX || !port_taken(&error) => {
                    return Err(error);
                }
                Err(_) => attempt += 1,
            }
        }
    }

    /// How the broker is reached; it creates and deletes topics, too.
    #[must_use]
    pub fn address(&self) -> &KafkaAddress {
        &self.address
    }

    pub(super) fn controller(&self) -> u16 {
        self.controller
    }

    /// The value for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        self.address.bootstrap()
    }

    /// Where a proxy has to forward to, `host:port`; see [`KafkaOptions::proxied_as`].
    #[must_use]
    pub fn proxied_upstream(&self) -> String {
        format!("127.0.0.1:{}", self.proxied)
    }

    /// The listener with TLS that lets everybody in, `localhost:port`; of a broker that was started
    /// with [`KafkaOptions::encrypted`], as the next two.
    #[must_use]
    pub fn tls(&self) -> String {
        format!("localhost:{}", self.encrypted.tls)
    }

    /// The one that wants a certificate of its clients.
    #[must_use]
    pub fn mutual_tls(&self) -> String {
        format!("localhost:{}", self.encrypted.mutual)
    }

    /// The one that wants a password: SASL PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    #[must_use]
    pub fn login(&self) -> String {
        format!("localhost:{}", self.encrypted.login)
    }

    /// Other certificates, to be used from the next start on.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn set_encryption(&self, encryption: &KafkaEncryption) -> Result<(), Error> {
        self.node.encryption().write(encryption)
    }

    /// Gives a user of `mechanism` (`SCRAM-SHA-256` or `SCRAM-SHA-512`) another password, for logins
    /// from now on.
    ///
    /// # Errors
    /// When the broker does not answer within a minute.
    pub async fn set_password(
        &self,
        mechanism: &str,
        user: &str,
        password: &str,
    ) -> Result<(), Error> {
        let bootstrap = self.bootstrap();
        let tool = (self.node).set_password_command(mechanism, user, password, bootstrap);
        let log = self.node.set_password_log();
        run_to_end("Kafka's ConfigCommand", tool, &log, TOOL_MAX).await
    }

    /// See [`KafkaAddress::create_topic`].
    ///
    /// # Errors
    /// As there.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), Error> {
        self.address.create_topic(name, partitions).await
    }

    /// See [`KafkaAddress::delete_topic`].
    ///
    /// # Errors
    /// As there.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        self.address.delete_topic(name).await
    }

    /// Takes the right to write to a topic from everyone; reading and describing it stay allowed.
    /// The broker must have been started with [`KafkaOptions::authorizer`].
    ///
    /// # Errors
    /// When the broker has no authorizer, or does not answer within a minute.
    pub async fn forbid_writes(&self, topic: &str) -> Result<(), Error> {
        self.allow_only(["--topic", topic], &["Read", "Describe", "DescribeConfigs"])
            .await
    }

    /// Takes the right to write, describe and read a topic from everyone.
    ///
    /// # Errors
    /// See [`forbid_writes`](Self::forbid_writes).
    pub async fn forbid_all(&self, topic: &str) -> Result<(), Error> {
        self.allow_only(["--topic", topic], &["AlterConfigs"]).await
    }

    /// Takes the right to begin transactions under an id from everyone.
    ///
    /// # Errors
    /// See [`forbid_writes`](Self::forbid_writes).
    pub async fn forbid_transactions(&self, transactional_id: &str) -> Result<(), Error> {
        self.allow_only(["--transactional-id", transactional_id], &["Describe"])
            .await
    }

    async fn allow_only(&self, resource: [&str; 2], operations: &[&str]) -> Result<(), Error> {
        let bootstrap = self.bootstrap();
        let tool = self
            .node
            .allow_only_command(resource, operations, bootstrap);
        let log = self.node.allow_only_log();
        run_to_end("Kafka's AclCommand", tool, &log, TOOL_MAX).await
    }

    /// The broker's process id.
    ///
    /// # Errors
    /// When the broker was never started.
    pub fn pid(&self) -> Result<u32, Error> {
        self.server.pid()
    }

    /// Fails, with the end of its log, when the broker has ended.
    ///
    /// # Errors
    /// When it has, or when that cannot be found out.
    pub fn still_runs(&self) -> Result<(), Error> {
        self.server.still_runs()
    }

    /// The broker's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.server.log()
    }

    /// Starts the stopped or killed broker on the same port and data; returns once it serves
    /// transactions.
    ///
    /// # Errors
    /// When it runs already, or does not serve transactions within two minutes.
    pub async fn restart(&self) -> Result<(), Error> {
        self.begin_restart().await?;
        self.ready().await
    }

    /// Starts the stopped or killed broker on the same port and data, without waiting until it
    /// serves.
    ///
    /// # Errors
    /// When it runs already, is a member of another's cluster, or its cluster does not find out that it was
    /// gone.
    pub async fn begin_restart(&self) -> Result<(), Error> {
        if self.is_member {
            return Err(Error::new("only a cluster's first broker can be restarted"));
        }
        if self.server.exit()?.is_none() {
            return Err(Error::new("Kafka runs already"));
        }
        unregister(&self.node).await?;
        self.server.spawn()
    }

    /// Waits until the broker serves transactions.
    ///
    /// # Errors
    /// When it ends, or does not serve them within two minutes.
    pub async fn ready(&self) -> Result<(), Error> {
        let config = self.address.client_config();
        self.server
            .ready(START_MAX, async || {
                let config = config.clone();
                blocking(move || probe::serves_transactions(&config)).await
            })
            .await
    }

    /// SIGTERM, then waits until the broker is gone.
    ///
    /// # Errors
    /// When it is not gone within a minute.
    pub async fn stop(&self) -> Result<(), Error> {
        self.server.signal(Signal::Terminate, Target::Process)?;
        self.server.ended(STOP_MAX).await.map(drop)
    }

    /// SIGKILL; returns once the broker is gone.
    ///
    /// # Errors
    /// When it is not gone within half a minute.
    pub async fn kill(&self) -> Result<(), Error> {
        self.server.kill().await
    }

    /// SIGSTOP: connections stay open, nothing answers.
    ///
    /// # Errors
    /// When the broker was never started.
    pub fn freeze(&self) -> Result<(), Error> {
        self.server.signal(Signal::Stop, Target::Tree)
    }

    /// Ends a [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When the broker was never started.
    pub fn thaw(&self) -> Result<(), Error> {
        self.server.signal(Signal::Continue, Target::Tree)
    }
}

fn port_taken(error: &Error) -> bool {
    error.to_string().contains("Address already in use")
}
