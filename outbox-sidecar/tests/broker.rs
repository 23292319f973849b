//! A broker of the test's own, to be hurt, whatever its kind.

use testbed::{KafkaServer, RabbitServer};

use crate::target::Target;

/// What a relay can publish to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    KafkaExactlyOnce,
    KafkaAtLeastOnce,
    ClassicQueue,
    QuorumQueue,
    Stream,
}

/// One server, of the kind's own.
pub(crate) enum Broker {
    Kafka(KafkaServer),
    RabbitMq(RabbitServer),
}

impl Kind {
    /// Starts a broker for it.
    pub(crate) async fn start(self) -> Broker {
        match self {
            Self::KafkaExactlyOnce | Self::KafkaAtLeastOnce => {
                Broker::Kafka(KafkaServer::start().await.unwrap())
            }
            Self::ClassicQueue | Self::QuorumQueue | Self::Stream => {
                Broker::RabbitMq(RabbitServer::start().await.unwrap())
            }
        }
    }
}

impl Broker {
    /// A new place to publish to.
    pub(crate) async fn target(&self, kind: Kind) -> Target {
        match (self, kind) {
            (Self::Kafka(kafka), Kind::KafkaAtLeastOnce) => {
                Target::kafka_at_least_once(kafka.address()).await
            }
            (Self::Kafka(kafka), _) => Target::kafka(kafka.address()).await,
            (Self::RabbitMq(rabbit), Kind::QuorumQueue) => Target::queue(rabbit, "quorum").await,
            (Self::RabbitMq(rabbit), Kind::Stream) => {
                let target = Target::stream(rabbit).await;
                // The one that `init` would make.
                let name = "outbox-checkpoints";
                rabbit.address().create_queue(name, "stream").await.unwrap();
                // A stream of RabbitMQ 3.10 that was never shut down in order may stay without a
                // leader for good when its node is killed.
                rabbit.stop().await.unwrap();
                rabbit.restart().await.unwrap();
                target
            }
            (Self::RabbitMq(rabbit), _) => Target::queue(rabbit, "classic").await,
        }
    }

    /// SIGKILL.
    pub(crate) async fn kill(&self) {
        match self {
            Self::Kafka(kafka) => kafka.kill().await.unwrap(),
            Self::RabbitMq(rabbit) => rabbit.kill().await.unwrap(),
        }
    }

    /// Starts it again, and waits until it serves.
    pub(crate) async fn restart(&self) {
        match self {
            Self::Kafka(kafka) => kafka.restart().await.unwrap(),
            Self::RabbitMq(rabbit) => rabbit.restart().await.unwrap(),
        }
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&self) {
        match self {
            Self::Kafka(kafka) => kafka.freeze().unwrap(),
            Self::RabbitMq(rabbit) => rabbit.freeze().unwrap(),
        }
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        match self {
            Self::Kafka(kafka) => kafka.thaw().unwrap(),
            Self::RabbitMq(rabbit) => rabbit.thaw().unwrap(),
        }
    }
}
