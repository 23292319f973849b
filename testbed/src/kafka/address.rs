//! How a Kafka cluster is reached, and its topics.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::error::Error;
use crate::kafka::probe;
use crate::unique;

/// Of one administrative request.
const ADMIN_MAX: Duration = Duration::from_secs(30);

/// The bootstrap servers of a cluster without authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaAddress {
    bootstrap: String,
}

impl KafkaAddress {
    /// A cluster at `host:port[,host:port]`.
    #[must_use]
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
        }
    }

    /// The value for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A client configuration that holds the bootstrap servers and nothing else.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Creates a topic with a unique name that begins with `prefix`, and returns the name.
    ///
    /// # Errors
    /// See [`create_topic`](Self::create_topic).
    pub async fn create_unique_topic(
        &self,
        prefix: &str,
        partitions: i32,
    ) -> Result<String, Error> {
        let name = unique::name(prefix);
        self.create_topic(&name, partitions).await?;
        Ok(name)
    }

    /// Creates a topic; returns once every partition of it has a leader.
    ///
    /// # Errors
    /// When it exists already, the cluster refuses it or does not answer within half a minute.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), Error> {
        self.create_topic_with(name, partitions, &[]).await
    }

    /// As [`create_topic`](Self::create_topic), with configuration such as
    /// `("cleanup.policy", "compact")`.
    ///
    /// # Errors
    /// See [`create_topic`](Self::create_topic).
    pub async fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        configuration: &[(&str, &str)],
    ) -> Result<(), Error> {
        // -1: as many replicas as the cluster's default says.
        let replication = TopicReplication::Fixed(-1);
        let topic = NewTopic::new(name, partitions, replication);
        self.create(topic, configuration).await
    }

    /// As [`create_topic`](Self::create_topic), of one partition on so many brokers.
    ///
    /// # Errors
    /// See [`create_topic`](Self::create_topic).
    pub async fn create_replicated_topic(&self, name: &str, replicas: i32) -> Result<(), Error> {
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(replicas));
        self.create(topic, &[]).await
    }

    async fn create(
        &self,
        mut topic: NewTopic<'_>,
        configuration: &[(&str, &str)],
    ) -> Result<(), Error> {
        let (name, partitions) = (topic.name, topic.num_partitions);
        for (key, value) in configuration {
            topic = topic.set(key, value);
        }
        let results = self
            .admin()?
            .create_topics([&topic], &admin_options())
            .await;
        let answer = results.map_err(Error::because(format!("topic {name} cannot be created")))?;
        refused(&format!("topic {name} cannot be created"), answer)?;
        let (config, name) = (self.client_config(), name.to_owned());
        blocking(move || probe::topic_has_leaders(&config, &name, partitions, ADMIN_MAX)).await
    }

    /// Deletes a topic; the deletion may go on in the background.
    ///
    /// # Errors
    /// When there is no such topic, or the cluster does not answer within half a minute.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let results = self.admin()?.delete_topics(&[name], &admin_options()).await;
        let answer = results.map_err(Error::because(format!("topic {name} cannot be deleted")))?;
        refused(&format!("topic {name} cannot be deleted"), answer)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, Error> {
        self.client_config()
            .create()
            .map_err(Error::because("no admin client of Kafka"))
    }
}

fn admin_options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ADMIN_MAX))
        .operation_timeout(Some(ADMIN_MAX))
}

fn refused(
    what: &str,
    answer: Vec<Result<String, (String, RDKafkaErrorCode)>>,
) -> Result<(), Error> {
    match answer.into_iter().find_map(Result::err) {
        Some((_, code)) => Err(Error::new(format!("{what}: {code}"))),
        None => Ok(()),
    }
}

/// Runs what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::because("a task panicked"))?
}
