//! A queue, filled as the relay fills it.

use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::Confirmation;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::json;
use testbed::proxy::TcpProxy;
use testbed::{RabbitServer, unique, wait};
use uuid::Uuid;

/// What a node needs at most; its counts of messages lag by seconds.
const SOON: Duration = Duration::from_secs(90);
const PERSISTENT: u8 = 2;

/// A message to be.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) report_id: Uuid,
    order_type: &'static str,
    month: &'static str,
    /// Instead of an order.
    payload: Option<&'static str>,
}

impl Order {
    pub(crate) fn new() -> Self {
        Self {
            id: Uuid::now_v7(),
            report_id: Uuid::now_v7(),
            order_type: "ReportOrdered",
            month: "2026-10",
            payload: None,
        }
    }

    pub(crate) fn of_type(mut self, order_type: &'static str) -> Self {
        self.order_type = order_type;
        self
    }

    pub(crate) fn month(mut self, month: &'static str) -> Self {
        self.month = month;
        self
    }

    pub(crate) fn payload(mut self, payload: &'static str) -> Self {
        self.payload = Some(payload);
        self
    }

    fn data(&self) -> Vec<u8> {
        let (report_id, month) = (self.report_id, self.month);
        let order = || {
            let order = json!({ "report_id": report_id, "customer": "ann", "month": "MONTH" });
            // In its place: a month may be an escape of JSON.
            order.to_string().replace("MONTH", month)
        };
        let text = self.payload.map_or_else(order, str::to_owned);
        text.into_bytes()
    }

    fn properties(&self) -> BasicProperties {
        BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(self.id.to_string().into())
            .with_type(self.order_type.into())
            .with_content_type("application/json".into())
    }
}

pub(crate) struct Queue {
    server: &'static RabbitServer,
    pub(crate) name: String,
}

impl Queue {
    /// A name; the service makes the queue.
    pub(crate) async fn named() -> Self {
        Self {
            server: testbed::shared_rabbitmq().await.unwrap(),
            name: unique::name("reports"),
        }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) fn url_through(&self, port: u16) -> String {
        format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
    }

    /// A proxy to the node. It has a runtime of its own, so it cannot be started in one.
    pub(crate) async fn proxy(&self) -> TcpProxy {
        let address = format!("127.0.0.1:{}", self.server.amqp_port());
        let starting = tokio::task::spawn_blocking(move || TcpProxy::start(&address));
        starting.await.unwrap().unwrap()
    }

    async fn channel(&self) -> (Connection, Channel) {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.url(), properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    /// Publishes to the queue; returns once all are confirmed and in it.
    pub(crate) async fn publish_all(&self, orders: Vec<Order>) {
        let (connection, channel) = self.channel().await;
        let options = ConfirmSelectOptions::default();
        channel.confirm_select(options).await.unwrap();
        let mut confirms = Vec::with_capacity(orders.len());
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        for order in &orders {
            let data = order.data();
            let publishing = channel.basic_publish(
                "".into(),
                self.name.as_str().into(),
                options,
                &data,
                order.properties(),
            );
            confirms.push(publishing.await.unwrap());
        }
        for confirmation in try_join_all(confirms).await.unwrap() {
            assert!(
                matches!(confirmation, Confirmation::Ack(None)),
                "{confirmation:?}"
            );
        }
        connection.close(200, "published".into()).await.unwrap();
    }

    /// Waits until the queue has neither messages nor any that are not acknowledged.
    pub(crate) async fn until_empty(&self) {
        self.until_messages(0).await;
    }

    /// Waits until so many messages are in the queue, those that are not acknowledged included.
    pub(crate) async fn until_messages(&self, count: usize) {
        let count = count.to_string();
        let reached = async || {
            let fields = ["list_queues", "--silent", "name", "messages"];
            let listed = self.server.control(&fields).await.unwrap();
            let mut rows = listed.lines().map(str::split_whitespace);
            rows.any(|mut row| row.next() == Some(&self.name) && row.next() == Some(&count))
        };
        let what = format!("{count} messages in the queue");
        wait::until(&what, SOON, reached).await.unwrap();
    }

    /// Waits until the node knows that nobody consumes any more.
    pub(crate) async fn until_no_consumer(&self) {
        let (connection, channel) = self.channel().await;
        let alone = async || {
            let state = passive(&channel, &self.name).await;
            state.consumer_count() == 0
        };
        wait::until("no consumer", SOON, alone).await.unwrap();
        connection.close(200, "looked".into()).await.unwrap();
    }

    /// Takes the ids of the dead letters away.
    pub(crate) async fn dead_ids(&self) -> Vec<Uuid> {
        let (connection, channel) = self.channel().await;
        let name = format!("{}.dead", self.name);
        passive(&channel, &name).await;
        let mut ids = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = channel
            .basic_get(name.as_str().into(), options)
            .await
            .unwrap()
        {
            let id = message.delivery.properties.message_id().clone().unwrap();
            ids.push(id.as_str().parse().unwrap());
        }
        connection.close(200, "read".into()).await.unwrap();
        ids
    }
}

/// The state of a queue that is there.
async fn passive(channel: &Channel, name: &str) -> lapin::Queue {
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let asking = channel.queue_declare(name.into(), options, FieldTable::default());
    asking.await.unwrap()
}
