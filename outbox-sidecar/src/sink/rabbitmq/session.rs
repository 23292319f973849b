//! One connection with its channel in confirm mode, and the guard that makes it the only one.

use std::time::Duration;

use lapin::options::{ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, LongString, ShortString};
use lapin::{Channel, Connection, ConnectionProperties};
use outbox_core::sink::AcquireError;

use super::errors::{Refused, connect_error, reply};
use super::settings::{Broker, RabbitSettings};
use super::transport::{Dialler, Lifeline, TransportRuntime};

/// How long one broker may take to accept the connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long it may take to answer a request on a connection.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// AMQP's reply to somebody who wants a queue that is another connection's own.
const RESOURCE_LOCKED: u16 = 405;

/// A connection, which ends with this: dropped, it is gone at once, whatever the broker does.
pub(super) struct Link {
    pub(super) connection: Connection,
    _lifeline: Lifeline,
}

/// The right to publish, as long as the connection lives.
pub(super) struct Session {
    link: Link,
    channel: Channel,
}

impl Session {
    /// Connects to the first broker that answers, and takes the guard: an exclusive queue, which
    /// the broker lets only one connection have and deletes with it.
    pub(super) async fn open(
        settings: &RabbitSettings,
        brokers: &[Broker],
    ) -> Result<Self, AcquireError> {
        let link = Self::connect(settings, brokers).await?;
        Self::take_guard(settings, link).await
    }

    /// A connection to the first broker that answers.
    pub(super) async fn connect(
        settings: &RabbitSettings,
        brokers: &[Broker],
    ) -> Result<Link, AcquireError> {
        let mut failures = Vec::new();
        let mut is_refused = false;
        for broker in brokers {
            match connect(settings, broker).await {
                Ok(link) => return Ok(link),
                Err(AcquireError::Unavailable(said)) => failures.push(said),
                Err(error) => {
                    is_refused = true;
                    failures.push(error.to_string());
                }
            }
        }
        let said = failures.join("; ");
        Err(match is_refused {
            true => AcquireError::Fatal(said),
            false => AcquireError::Unavailable(said),
        })
    }

    async fn take_guard(settings: &RabbitSettings, link: Link) -> Result<Self, AcquireError> {
        let connection = &link.connection;
        let channel = answered("opening a channel", connection.create_channel()).await?;
        let guard = ShortString::from(settings.guard());
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(guard, options, FieldTable::default());
        match answer_of("taking the guard", declared).await {
            Ok(_) => {}
            Err(Refused { code, text }) if code == Some(RESOURCE_LOCKED) => {
                let closing = connection.close(200, "not the holder".into());
                let _ = tokio::time::timeout(ANSWER_MAX, closing).await;
                // The slot is ours: whoever has the guard is on its way out, perhaps frozen.
                return Err(AcquireError::Unavailable(format!(
                    "an earlier connection of this relay still has its guard, until the broker \
                     misses its heartbeats: {text}"
                )));
            }
            Err(refused) => return Err(refused.into_acquire_error()),
        }
        let options = ConfirmSelectOptions::default();
        answered("asking for confirms", channel.confirm_select(options)).await?;
        Ok(Self { link, channel })
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.link.connection
    }

    /// The largest frame that both sides have agreed to.
    pub(super) fn frame_bytes_max(&self) -> usize {
        self.link.connection.configuration().frame_max() as usize
    }

    /// Whether the connection stands, as far as heartbeats tell.
    pub(super) fn is_open(&self) -> bool {
        self.link.connection.status().connected()
    }

    /// Whether the broker takes no messages at present.
    pub(super) fn is_blocked(&self) -> bool {
        self.link.connection.status().blocked()
    }

    /// After the broker has closed the channel: the guard is the connection's and still ours.
    pub(super) async fn reopen_channel(&mut self) -> Result<(), AcquireError> {
        let channel = answered("opening a channel", self.link.connection.create_channel()).await?;
        let options = ConfirmSelectOptions::default();
        answered("asking for confirms", channel.confirm_select(options)).await?;
        self.channel = channel;
        Ok(())
    }

    /// Gives the guard up.
    pub(super) async fn close(self) {
        let closing = self.link.connection.close(200, "released".into());
        // The guard goes with the connection, whether the broker answers or not.
        let _ = tokio::time::timeout(ANSWER_MAX, closing).await;
    }
}

async fn connect(settings: &RabbitSettings, broker: &Broker) -> Result<Link, AcquireError> {
    let place = broker.place();
    match tokio::time::timeout(CONNECT_MAX, handshake(settings, broker)).await {
        Ok(connected) => connected,
        Err(_) => Err(AcquireError::Unavailable(format!(
            "{place}: no answer within {} s",
            CONNECT_MAX.as_secs()
        ))),
    }
}

async fn handshake(settings: &RabbitSettings, broker: &Broker) -> Result<Link, AcquireError> {
    let place = broker.place();
    let properties =
        ConnectionProperties::default().with_connection_name(LongString::from(settings.guard()));
    if let Some(tls) = &broker.tls {
        // What is wrong with our own files is no matter of the broker's.
        let config = tls.config(&broker.uri.authority.host).await;
        config.map_err(|error| AcquireError::Fatal(format!("{place}: {error}")))?;
    }
    let (dialler, lifeline) = Dialler::new(broker.clone(), settings.in_flight_bytes_max());
    let connecting = Connection::connector(
        broker.uri.clone(),
        TransportRuntime::current().into(),
        async move |_, _| Ok(dialler.dial().await?),
        properties,
    );
    let connected = connecting.await;
    Ok(Link {
        connection: connected.map_err(|error| connect_error(broker, &error))?,
        _lifeline: lifeline,
    })
}

/// Waits for the broker's answer, but not for ever.
pub(super) async fn answer_of<T>(
    doing: &str,
    request: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Refused> {
    match tokio::time::timeout(ANSWER_MAX, request).await {
        Ok(answer) => answer.map_err(|error| reply(doing, &error)),
        Err(_) => Err(Refused {
            code: None,
            text: format!("{doing}: no answer within {} s", ANSWER_MAX.as_secs()),
        }),
    }
}

async fn answered<T>(
    doing: &str,
    request: impl Future<Output = lapin::Result<T>>,
) -> Result<T, AcquireError> {
    answer_of(doing, request)
        .await
        .map_err(Refused::into_acquire_error)
}
