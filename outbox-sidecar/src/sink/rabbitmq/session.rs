//! One connection with its channel in confirm mode, and the guard that makes it the only one.

use std::time::Duration;

use lapin::options::{ConfirmSelectOptions, QueueDeclareOptions};
use lapin::tcp::{AMQPUriTcpExt, RustlsConnector};
use lapin::types::{FieldTable, LongString, ShortString};
use lapin::uri::AMQPScheme;
use lapin::{Channel, Connection, ConnectionProperties};
use outbox_core::sink::AcquireError;

use super::errors::{Refused, connect_error, reply};
use super::settings::{Broker, RabbitSettings};

/// How long one broker may take to accept the connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long it may take to answer a request on a connection.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// AMQP's reply to somebody who wants a queue that is another connection's own.
const RESOURCE_LOCKED: u16 = 405;

/// The right to publish, as long as the connection lives.
pub(super) struct Session {
    connection: Connection,
    channel: Channel,
}

impl Session {
    /// Connects to the first broker that answers, and takes the guard: an exclusive queue, which
    /// the broker lets only one connection have and deletes with it.
    pub(super) async fn open(
        settings: &RabbitSettings,
        brokers: &[Broker],
    ) -> Result<Self, AcquireError> {
        let connection = Self::connect(settings, brokers).await?;
        Self::take_guard(settings, connection).await
    }

    /// A connection to the first broker that answers.
    pub(super) async fn connect(
        settings: &RabbitSettings,
        brokers: &[Broker],
    ) -> Result<Connection, AcquireError> {
        let mut failures = Vec::new();
        let mut is_refused = false;
        for broker in brokers {
            match connect(settings, broker).await {
                Ok(connection) => return Ok(connection),
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

    async fn take_guard(
        settings: &RabbitSettings,
        connection: Connection,
    ) -> Result<Self, AcquireError> {
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
                let _ = connection.close(200, "not the holder".into()).await;
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
        Ok(Self {
            connection,
            channel,
        })
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the connection stands, as far as heartbeats tell.
    pub(super) fn is_open(&self) -> bool {
        self.connection.status().connected()
    }

    /// Whether the broker takes no messages at present.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// After the broker has closed the channel: the guard is the connection's and still ours.
    pub(super) async fn reopen_channel(&mut self) -> Result<(), AcquireError> {
        let channel = answered("opening a channel", self.connection.create_channel()).await?;
        let options = ConfirmSelectOptions::default();
        answered("asking for confirms", channel.confirm_select(options)).await?;
        self.channel = channel;
        Ok(())
    }

    /// Gives the guard up.
    pub(super) async fn close(self) {
        let closing = self.connection.close(200, "released".into());
        // The guard goes with the connection, whether the broker answers or not.
        let _ = tokio::time::timeout(ANSWER_MAX, closing).await;
    }
}

async fn connect(settings: &RabbitSettings, broker: &Broker) -> Result<Connection, AcquireError> {
    let place = broker.place();
    match tokio::time::timeout(CONNECT_MAX, handshake(settings, broker)).await {
        Ok(connected) => connected,
        Err(_) => Err(AcquireError::Unavailable(format!(
            "{place}: no answer within {} s",
            CONNECT_MAX.as_secs()
        ))),
    }
}

async fn handshake(settings: &RabbitSettings, broker: &Broker) -> Result<Connection, AcquireError> {
    let (place, host) = (broker.place(), broker.uri.authority.host.clone());
    let properties =
        ConnectionProperties::default().with_connection_name(LongString::from(settings.guard()));
    let connector = match &broker.tls {
        None => None,
        Some(tls) => {
            let config = tls.config(&host).await;
            let config =
                config.map_err(|error| AcquireError::Fatal(format!("{place}: {error}")))?;
            Some(RustlsConnector::from(config))
        }
    };
    let failed = |error: lapin::Error| connect_error(broker, &error);
    let runtime = lapin::runtime::default_runtime().map_err(failed)?;
    let connecting = Connection::connector(
        broker.uri.clone(),
        runtime,
        async move |mut uri, runtime| {
            // Only the TCP connection: lapin's own TLS knows no files that change.
            uri.scheme = AMQPScheme::AMQP;
            let tcp = uri.connect_async(&runtime).await?;
            match &connector {
                None => Ok(tcp),
                Some(connector) => Ok(tcp.into_rustls(connector, &host).await?),
            }
        },
        properties,
    );
    connecting.await.map_err(failed)
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
