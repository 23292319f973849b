//! Servers that all tests of a process use together.

use tokio::sync::OnceCell;

use crate::error::Error;
use crate::kafka::{KafkaAddress, KafkaServer};
use crate::postgres::{PostgresAddress, PostgresServer};
use crate::rabbitmq::RabbitServer;

/// Names a PostgreSQL server that runs already: `postgres://superuser[:password]@host:port/db`.
pub const POSTGRES_VARIABLE: &str = "OUTBOX_TEST_POSTGRES_URL";
/// Names a Kafka cluster that runs already: `host:port[,host:port]`.
pub const KAFKA_VARIABLE: &str = "OUTBOX_TEST_KAFKA_BOOTSTRAP";

/// A started server must be kept, or it ends; one that was named is only an address.
static POSTGRES: OnceCell<(PostgresAddress, Option<PostgresServer>)> = OnceCell::const_new();
static KAFKA: OnceCell<(KafkaAddress, Option<KafkaServer>)> = OnceCell::const_new();
static RABBITMQ: OnceCell<RabbitServer> = OnceCell::const_new();

/// The PostgreSQL server named by [`POSTGRES_VARIABLE`], else one started for this process.
///
/// Tests share it: use a database of your own, and drop the replication slots you make.
///
/// # Errors
/// When it cannot be provisioned or started, or the variable holds no valid URL.
pub async fn shared_postgres() -> Result<&'static PostgresAddress, Error> {
    let start = || async {
        if let Ok(url) = std::env::var(POSTGRES_VARIABLE) {
            return Ok((PostgresAddress::from_url(&url)?, None));
        }
        let server = PostgresServer::start().await?;
        Ok::<_, Error>((server.address().clone(), Some(server)))
    };
    POSTGRES
        .get_or_try_init(start)
        .await
        .map(|(address, _)| address)
}

/// The Kafka cluster named by [`KAFKA_VARIABLE`], else one broker started for this process.
///
/// Tests share it: use topics and transactional ids of your own.
///
/// # Errors
/// When it cannot be provisioned or started.
pub async fn shared_kafka() -> Result<&'static KafkaAddress, Error> {
    let start = || async {
        if let Ok(bootstrap) = std::env::var(KAFKA_VARIABLE) {
            return Ok((KafkaAddress::new(bootstrap), None));
        }
        let server = KafkaServer::start().await?;
        Ok::<_, Error>((server.address().clone(), Some(server)))
    };
    KAFKA
        .get_or_try_init(start)
        .await
        .map(|(address, _)| address)
}

/// The RabbitMQ node that is started for this process.
///
/// Tests share it: use queues of your own, and leave its limits alone.
///
/// # Errors
/// When RabbitMQ is not installed, or cannot be started.
pub async fn shared_rabbitmq() -> Result<&'static RabbitServer, Error> {
    RABBITMQ.get_or_try_init(RabbitServer::start).await
}
