//! A node that a test can stop, kill, freeze and start again.

use std::path::Path;
use std::time::Duration;

use testbed_supervisor::{Signal, Target};

use crate::error::Error;
use crate::kafka::blocking;
use crate::ports::ReservedPort;
use crate::provision::{self, RabbitVersion};
use crate::rabbitmq::address::RabbitAddress;
use crate::rabbitmq::control::control;
use crate::rabbitmq::encrypted::RabbitEncryption;
use crate::rabbitmq::node::{Node, Ports};
use crate::server::Server;
use crate::{unique, wait};

/// A cold start on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(60);
/// How long the node may take to write which queues there are.
const WRITING_MAX: Duration = Duration::from_secs(60);

/// One RabbitMQ node with data of its own; dropped, both are gone.
#[derive(Debug)]
pub struct RabbitServer {
    // Dropped before the node: files must not vanish under a running server.
    server: Server,
    _epmd: Server,
    ports: Ports,
    node: Node,
    _reserved: [ReservedPort; 7],
}

impl RabbitServer {
    /// A node with streams and the management page, user `guest`, vhost `/`, in the version that the
    /// environment names ([`RabbitVersion::from_environment`]).
    ///
    /// # Errors
    /// When RabbitMQ is not installed, or does not serve within two minutes.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(None).await
    }

    /// The same with listeners more: [`RabbitServer::amqps`] and [`RabbitServer::encrypted_stream`].
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_encrypted(encryption: &RabbitEncryption) -> Result<Self, Error> {
        Self::start_with(Some(encryption)).await
    }

    async fn start_with(encryption: Option<&RabbitEncryption>) -> Result<Self, Error> {
        let version = RabbitVersion::from_environment()?;
        let installation = blocking(move || provision::rabbitmq(version)).await?;
        let reserved = [
            ReservedPort::find()?,
            ReservedPort::find()?,
            ReservedPort::find()?,
            ReservedPort::find()?,
            ReservedPort::find()?,
            ReservedPort::find()?,
            ReservedPort::find()?,
        ];
        let [amqp, stream, management, distribution, epmd, amqps, streams] =
            reserved.each_ref().map(ReservedPort::number);
        let ports = Ports {
            amqp,
            stream,
            management,
            distribution,
            epmd,
            amqps,
            streams,
        };
        let node = Node::create(installation, ports, encryption)?;
        let epmd = Server::new("epmd", node.epmd_command(), node.epmd_log());
        epmd.spawn()?;
        let rabbit = Self {
            server: Server::new("RabbitMQ", node.command(), node.log()),
            _epmd: epmd,
            ports,
            node,
            _reserved: reserved,
        };
        rabbit.server.spawn()?;
        rabbit.ready().await?;
        Ok(rabbit)
    }

    /// How it is reached.
    #[must_use]
    pub const fn address(&self) -> RabbitAddress {
        RabbitAddress::new(self.ports.amqp, self.ports.stream)
    }

    /// The AMQP URL of user `guest` and vhost `/`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("guest", "guest", "%2f")
    }

    /// The AMQP URL of a user and a vhost, both as they stand in a URL.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str, vhost: &str) -> String {
        let port = self.ports.amqp;
        format!("amqp://{user}:{password}@127.0.0.1:{port}/{vhost}")
    }

    /// The stream protocol's URL of user `guest` and vhost `/`.
    #[must_use]
    pub fn stream_url(&self) -> String {
        self.stream_url_of("guest", "guest", "%2f")
    }

    /// The stream protocol's URL of a user and a vhost, both as they stand in a URL.
    #[must_use]
    pub fn stream_url_of(&self, user: &str, password: &str, vhost: &str) -> String {
        let port = self.ports.stream;
        format!("rabbitmq-stream://{user}:{password}@127.0.0.1:{port}/{vhost}")
    }

    /// Where AMQP is spoken over TLS, `localhost:port`.
    #[must_use]
    pub fn amqps(&self) -> String {
        format!("localhost:{}", self.ports.amqps)
    }

    /// Where streams are spoken over TLS, `localhost:port`.
    #[must_use]
    pub fn encrypted_stream(&self) -> String {
        format!("localhost:{}", self.ports.streams)
    }

    /// Other certificates, to be used from the next start on.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn set_encryption(&self, encryption: &RabbitEncryption) -> Result<(), Error> {
        self.node.encrypt(encryption)
    }

    /// The port for AMQP on 127.0.0.1.
    #[must_use]
    pub fn amqp_port(&self) -> u16 {
        self.ports.amqp
    }

    /// The port for the stream protocol on 127.0.0.1.
    #[must_use]
    pub fn stream_port(&self) -> u16 {
        self.ports.stream
    }

    /// Makes a durable queue of this type (`classic`, `quorum` or `stream`), with a name of its own,
    /// that a kill of the node does not take away: see [`RabbitServer::wrote`].
    ///
    /// # Errors
    /// When the node refuses, or does not answer.
    pub async fn create_queue(&self, kind: &str) -> Result<String, Error> {
        let name = unique::name(kind);
        self.address().create_queue(&name, kind).await?;
        self.wrote(&name, kind).await?;
        Ok(name)
    }

    /// Waits until a queue of this type is on disk.
    ///
    /// RabbitMQ 3.10 answers a declaration before: a queue that was just made is gone if the node is
    /// killed, with every message that it had confirmed, and a quorum queue, or the first stream, may
    /// stay without a leader for good. A stream may do so even then: before the node is killed, stop and
    /// start it once.
    ///
    /// # Errors
    /// When it is not there within a minute.
    pub async fn wrote(&self, queue: &str, kind: &str) -> Result<(), Error> {
        let what = format!("queue {queue} on the node's disk");
        wait::until(&what, WRITING_MAX, async || {
            let files = self.node.files();
            // Besides: of a quorum queue its group of replicas, of streams what looks after them all.
            files.hold_queue(queue)
                && match kind {
                    "quorum" => files.hold_group("quorum", queue),
                    "stream" => files.hold_group("coordination", "rabbit_stream_coordinator"),
                    _ => true,
                }
        })
        .await
    }

    /// Runs `rabbitmqctl` with these arguments, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, or does not end within a minute.
    pub async fn control(&self, arguments: &[&str]) -> Result<String, Error> {
        control(&self.node, "rabbitmqctl", arguments).await
    }

    /// Runs `rabbitmq-streams` with these arguments, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, or does not end within a minute.
    pub async fn streams(&self, arguments: &[&str]) -> Result<String, Error> {
        control(&self.node, "rabbitmq-streams", arguments).await
    }

    /// The node's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.server.log()
    }

    /// Starts the stopped or killed node on the same ports and data; returns once it serves.
    ///
    /// # Errors
    /// When it runs already, or does not serve within two minutes.
    pub async fn restart(&self) -> Result<(), Error> {
        self.begin_restart()?;
        self.ready().await
    }

    /// Starts the stopped or killed node, without waiting until it serves.
    ///
    /// # Errors
    /// When it runs already.
    pub fn begin_restart(&self) -> Result<(), Error> {
        self.server.spawn()
    }

    /// Waits until the node serves AMQP and streams.
    ///
    /// # Errors
    /// When it ends, or does not serve within two minutes.
    pub async fn ready(&self) -> Result<(), Error> {
        let (amqp, stream) = (self.ports.amqp, self.ports.stream);
        self.server
            .ready(START_MAX, async || {
                for port in [amqp, stream] {
                    tokio::net::TcpStream::connect(("127.0.0.1", port))
                        .await
                        .map_err(Error::because("RabbitMQ does not listen"))?;
                }
                Ok(())
            })
            .await
    }

    /// SIGTERM, then waits until the node is gone.
    ///
    /// # Errors
    /// When it is not gone within a minute.
    pub async fn stop(&self) -> Result<(), Error> {
        self.server.signal(Signal::Terminate, Target::Process)?;
        self.server.ended(STOP_MAX).await.map(drop)
    }

    /// SIGKILL; returns once the node is gone.
    ///
    /// # Errors
    /// When it is not gone within half a minute.
    pub async fn kill(&self) -> Result<(), Error> {
        self.server.kill().await
    }

    /// SIGSTOP: connections stay open, nothing answers.
    ///
    /// # Errors
    /// When the node was never started.
    pub fn freeze(&self) -> Result<(), Error> {
        self.server.signal(Signal::Stop, Target::Tree)
    }

    /// Ends a [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When the node was never started.
    pub fn thaw(&self) -> Result<(), Error> {
        self.server.signal(Signal::Continue, Target::Tree)
    }
}
