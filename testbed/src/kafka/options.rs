//! What a test may choose of a broker.

use crate::error::Error;
use crate::kafka::encrypted::KafkaEncryption;
use crate::kafka::server::KafkaServer;

/// How a broker is set up; start from [`KafkaServer::options`].
#[derive(Debug, Clone, Default)]
pub struct KafkaOptions {
    pub(super) settings: Vec<(String, String)>,
    pub(super) proxied_as: Option<u16>,
    pub(super) throughput: bool,
    pub(super) encrypted: Option<KafkaEncryption>,
    pub(super) membership: Option<Membership>,
}

/// A broker's place in the cluster of another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Membership {
    pub(super) node_id: u16,
    /// The port of the cluster's only controller.
    pub(super) controller: u16,
}

impl KafkaOptions {
    /// A line of server.properties; later ones win, and all win over the test bed's own.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets rights be taken away, see [`KafkaServer::forbid_writes`]; whatever nobody was given
    /// rights on stays open to all.
    #[must_use]
    pub fn authorizer(self) -> Self {
        self.setting(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        )
        .setting("allow.everyone.if.no.acl.found", "true")
    }

    /// A second listener, [`KafkaServer::proxied_upstream`], which tells its clients that the
    /// broker is at this port of 127.0.0.1. A proxy that listens there and forwards to the
    /// upstream stays between client and broker.
    #[must_use]
    pub fn proxied_as(mut self, port: u16) -> Self {
        self.proxied_as = Some(port);
        self
    }

    /// Three listeners more, all with TLS: see [`KafkaServer::tls`], [`KafkaServer::mutual_tls`] and
    /// [`KafkaServer::login`].
    #[must_use]
    pub fn encrypted(mut self, encryption: KafkaEncryption) -> Self {
        self.encrypted = Some(encryption);
        self
    }

    /// A broker more in the cluster of `first`, which stays the only controller. `node_id` is from 2 on, and
    /// no other's. It can be stopped, but not started again.
    #[must_use]
    pub fn member_of(mut self, first: &KafkaServer, node_id: u16) -> Self {
        self.membership = Some(Membership {
            node_id,
            controller: first.controller(),
        });
        self
    }

    /// A Java machine for benchmarks: full compiler and more memory, but a slower start.
    #[must_use]
    pub fn throughput(mut self) -> Self {
        self.throughput = true;
        self
    }

    /// Formats a log directory and starts the broker.
    ///
    /// # Errors
    /// When Kafka cannot be provisioned, or does not serve transactions within two minutes.
    pub async fn start(self) -> Result<KafkaServer, Error> {
        KafkaServer::start_with(self).await
    }
}
