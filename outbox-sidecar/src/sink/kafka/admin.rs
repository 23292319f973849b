//! Single administrative requests: made, awaited with a limit, and answered.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::closing::QuietContext;

/// How long the broker may take over one administrative request.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// What its client library may take on top, before it is given up.
const REQUEST_GRACE: Duration = Duration::from_secs(5);

/// A topic to be made.
pub(super) struct TopicToCreate<'a> {
    pub(super) name: &'a str,
    pub(super) partitions: u32,
    pub(super) replication_factor: u32,
    pub(super) configuration: &'a [(&'a str, &'a str)],
}

/// Why a topic was not made.
#[derive(Debug)]
pub(super) enum AdminError {
    /// The broker said no.
    Refused(RDKafkaErrorCode),
    /// No answer.
    Unavailable(String),
}

/// A client for administrative requests.
pub(super) struct Admin(AdminClient<QuietContext>);

impl Admin {
    pub(super) fn connect(config: &ClientConfig) -> Result<Self, AdminError> {
        let client = config.create_with_context(QuietContext::of(config));
        client.map(Self).map_err(unavailable)
    }

    /// Creates a topic; one that is there already is left as it is, and told by `false`.
    pub(super) fn create_topic(&self, topic: &TopicToCreate<'_>) -> Result<bool, AdminError> {
        let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        let replicas = i32::try_from(topic.replication_factor).unwrap_or(i32::MAX);
        let replication = TopicReplication::Fixed(replicas);
        let mut new = NewTopic::new(topic.name, partitions, replication);
        for (name, value) in topic.configuration {
            new = new.set(name, value);
        }
        let answers = wait_for(self.0.create_topics([&new], &options()))?;
        match answers.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(AdminError::Refused(code)),
            None => Err(AdminError::Unavailable(
                "the broker's answer is empty".to_owned(),
            )),
        }
    }

    /// The settings of a topic or broker, as far as they have a value.
    pub(super) fn settings(
        &self,
        of: &ResourceSpecifier<'_>,
    ) -> Result<HashMap<String, String>, AdminError> {
        let answers = wait_for(self.0.describe_configs([of], &options()))?;
        match answers.into_iter().next() {
            Some(Ok(resource)) => Ok(resource
                .entries
                .into_iter()
                .filter_map(|entry| Some((entry.name, entry.value?)))
                .collect()),
            Some(Err(code)) => Err(AdminError::Refused(code)),
            None => Err(AdminError::Unavailable(
                "the broker's answer is empty".to_owned(),
            )),
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_MAX))
        .operation_timeout(Some(REQUEST_MAX))
}

fn unavailable(error: KafkaError) -> AdminError {
    AdminError::Unavailable(error.to_string())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// rust-rdkafka answers by futures; the sink's thread has no runtime and needs none for them.
fn wait_for<T>(future: impl Future<Output = Result<T, KafkaError>>) -> Result<T, AdminError> {
    let deadline = Instant::now() + REQUEST_MAX + REQUEST_GRACE;
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result.map_err(unavailable);
        }
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining == Duration::ZERO {
            return Err(AdminError::Unavailable(format!(
                "no answer within {} s",
                (REQUEST_MAX + REQUEST_GRACE).as_secs()
            )));
        }
        std::thread::park_timeout(remaining);
    }
}
