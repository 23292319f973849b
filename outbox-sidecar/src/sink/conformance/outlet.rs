use std::sync::OnceLock;
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions};
use lapin::types::FieldTable;
use outbox_core::sink::{Batch, RefusalReason, Sink};
use outbox_core::{schema, schema::SchemaName};
use testbed::history::{read, read_stream, take_queue};
use testbed::{KafkaAddress, RabbitServer, unique};
use tokio::runtime::Runtime;

use super::checkpoints::genesis;
use super::limited::{LimitedSink, seen_in};
use super::lines::Output;
use super::seen::{MESSAGE_BYTES_MAX, Seen};
use crate::control::CheckpointRow;
use crate::sink::at_least_once::AtLeastOnce;
use crate::sink::kafka::{KafkaAdministration, KafkaPublisher, KafkaSettings, KafkaSink};
use crate::sink::memory::MemoryBroker;
use crate::sink::rabbitmq::{RabbitPublisher, RabbitSettings, Route};
use crate::sink::rabbitmq_stream::{StreamPublisher, StreamSettings};
use crate::sink::stdout::LinePublisher;
use crate::source::connection::Address;

/// How long a server may take to show what it has.
const SOON: Duration = Duration::from_secs(90);

/// One relay's way to a broker, and what consumers see there.
pub(super) struct Outlet {
    relay: String,
    kind: Kind,
}

enum Kind {
    Memory(MemoryBroker),
    Lines {
        output: Output,
        /// Where the checkpoint's row is.
        address: Box<Address>,
    },
    Kafka {
        address: KafkaAddress,
        settings: Box<KafkaSettings>,
        exactly_once: bool,
    },
    Queues {
        rabbit: &'static RabbitServer,
        settings: Box<RabbitSettings>,
        queue_type: &'static str,
        /// Where the checkpoint's row is.
        address: Box<Address>,
    },
    Streams {
        rabbit: &'static RabbitServer,
        settings: Box<StreamSettings>,
        /// Where the checkpoint's row is.
        address: Box<Address>,
    },
}

impl Outlet {
    pub(super) fn memory() -> Self {
        let broker = MemoryBroker::default();
        let relay = unique::name("relay");
        broker.set_checkpoint(Some(genesis(&relay)));
        Self {
            relay,
            kind: Kind::Memory(broker),
        }
    }

    /// Standard output, or what stands for it.
    pub(super) fn lines() -> Self {
        let relay = unique::name("relay");
        let outlet = Self {
            kind: Kind::Lines {
                output: Output::default(),
                address: Box::new(wait(database_with(&relay))),
            },
            relay,
        };
        outlet.write_genesis();
        outlet
    }

    pub(super) fn kafka() -> Self {
        Self::to_kafka(true)
    }

    pub(super) fn kafka_at_least_once() -> Self {
        Self::to_kafka(false)
    }

    fn to_kafka(exactly_once: bool) -> Self {
        let address = wait(testbed::shared_kafka()).unwrap().clone();
        let relay = unique::name("relay");
        let servers = (
            "bootstrap.servers".to_owned(),
            address.bootstrap().to_owned(),
        );
        let settings = KafkaSettings {
            relay: relay.clone(),
            properties: [servers].into(),
            password_file: None,
            checkpoint_topic: unique::name("checkpoints"),
            create_topics: false,
            partitions: 2,
            replication_factor: 1,
            message_bytes_max: MESSAGE_BYTES_MAX,
        };
        let mut administration = KafkaAdministration::new(settings.clone()).unwrap();
        administration.create_checkpoint_topic().unwrap();
        administration.write_genesis(&genesis(&relay)).unwrap();
        Self {
            relay,
            kind: Kind::Kafka {
                address,
                settings: Box::new(settings),
                exactly_once,
            },
        }
    }

    /// Destinations are queues of this type.
    pub(super) fn queue(queue_type: &'static str) -> Self {
        Self::to_rabbitmq(queue_type, Vec::new())
    }

    /// Destinations are routing keys of an exchange, each bound to a queue of its name.
    pub(super) fn exchange() -> Self {
        let exchange = unique::name("exchange");
        let declaring = async {
            let rabbit = testbed::shared_rabbitmq().await?;
            let channel = rabbit.address().channel().await?;
            let options = ExchangeDeclareOptions::default();
            let kind = lapin::ExchangeKind::Topic;
            channel
                .exchange_declare(
                    exchange.as_str().into(),
                    kind,
                    options,
                    FieldTable::default(),
                )
                .await
                .unwrap();
            Ok::<_, testbed::Error>(())
        };
        wait(declaring).unwrap();
        let route = Route {
            destination: "*".to_owned(),
            exchange,
            routing_key: "{destination}".to_owned(),
        };
        Self::to_rabbitmq("classic", vec![route])
    }

    fn to_rabbitmq(queue_type: &'static str, routes: Vec<Route>) -> Self {
        let rabbit = wait(testbed::shared_rabbitmq()).unwrap();
        let relay = unique::name("relay");
        let settings = RabbitSettings {
            relay: relay.clone(),
            url_file: None,
            urls: vec![rabbit.url()],
            unconfirmed_max: 500,
            create_queues: false,
            heartbeat: Duration::from_secs(1),
            routes,
            message_bytes_max: MESSAGE_BYTES_MAX,
        };
        let address = wait(database_with(&relay));
        let outlet = Self {
            relay,
            kind: Kind::Queues {
                rabbit,
                settings: Box::new(settings),
                queue_type,
                address: Box::new(address),
            },
        };
        outlet.write_genesis();
        outlet
    }

    /// Destinations are streams.
    pub(super) fn stream() -> Self {
        let rabbit = wait(testbed::shared_rabbitmq()).unwrap();
        let relay = unique::name("relay");
        let settings = StreamSettings {
            relay: relay.clone(),
            url_file: None,
            urls: vec![rabbit.address().stream_url()],
            checkpoint_stream: "outbox-checkpoints".into(),
            create_streams: false,
            unconfirmed_max: 500,
            heartbeat: Duration::from_secs(1),
            message_bytes_max: MESSAGE_BYTES_MAX,
            phantoms_accepted: false,
        };
        let mut publisher = StreamPublisher::new(settings.clone()).unwrap();
        publisher.create_checkpoint_stream().unwrap();
        let address = Box::new(wait(database_with(&relay)));
        let outlet = Self {
            relay,
            kind: Kind::Streams {
                rabbit,
                settings: Box::new(settings),
                address,
            },
        };
        outlet.write_genesis();
        outlet
    }

    fn write_genesis(&self) {
        if let Kind::Queues { address, .. }
        | Kind::Streams { address, .. }
        | Kind::Lines { address, .. } = &self.kind
        {
            let mut row = self.checkpoint_row(address);
            assert_eq!(row.write_genesis(&genesis(&self.relay)), Ok(true));
        }
    }

    fn checkpoint_row(&self, address: &Address) -> CheckpointRow {
        let _entered = runtime().enter();
        CheckpointRow::new(address.clone(), SchemaName::default(), &self.relay)
    }

    /// A sink that has acquired nothing yet.
    pub(super) fn sink(&self) -> Box<dyn Sink> {
        match &self.kind {
            Kind::Memory(broker) => Box::new(LimitedSink(broker.sink())),
            Kind::Lines { output, address } => Box::new(AtLeastOnce::new(
                LinePublisher::new(output.clone(), MESSAGE_BYTES_MAX),
                self.checkpoint_row(address),
            )),
            Kind::Kafka {
                settings,
                exactly_once: true,
                ..
            } => Box::new(KafkaSink::new(KafkaSettings::clone(settings)).unwrap()),
            Kind::Kafka { settings, .. } => Box::new(AtLeastOnce::new(
                KafkaPublisher::new(KafkaSettings::clone(settings)).unwrap(),
                KafkaSink::new(KafkaSettings::clone(settings)).unwrap(),
            )),
            Kind::Streams {
                settings, address, ..
            } => Box::new(AtLeastOnce::new(
                StreamPublisher::new(StreamSettings::clone(settings)).unwrap(),
                self.checkpoint_row(address),
            )),
            Kind::Queues {
                settings, address, ..
            } => Box::new(AtLeastOnce::new(
                RabbitPublisher::new(RabbitSettings::clone(settings)).unwrap(),
                self.checkpoint_row(address),
            )),
        }
    }

    /// The relay's name.
    pub(super) fn relay(&self) -> &str {
        &self.relay
    }

    /// Makes a destination, and returns its name.
    pub(super) fn destination(&self) -> String {
        let name = unique::name("destination");
        match &self.kind {
            Kind::Memory(_) | Kind::Lines { .. } => {}
            Kind::Streams { rabbit, .. } => {
                wait(rabbit.address().create_queue(&name, "stream")).unwrap();
                wait(rabbit.wrote(&name, "stream")).unwrap();
            }
            Kind::Kafka { address, .. } => wait(address.create_topic(&name, 2)).unwrap(),
            Kind::Queues {
                rabbit,
                settings,
                queue_type,
                ..
            } => wait(async {
                rabbit.address().create_queue(&name, queue_type).await?;
                rabbit.wrote(&name, queue_type).await?;
                if let Some(route) = settings.routes.first() {
                    let channel = rabbit.address().channel().await?;
                    let (queue, exchange) = (name.as_str().into(), route.exchange.as_str().into());
                    let options = QueueBindOptions::default();
                    let key = name.as_str().into();
                    channel
                        .queue_bind(queue, exchange, key, options, FieldTable::default())
                        .await
                        .unwrap();
                }
                Ok::<_, testbed::Error>(())
            })
            .unwrap(),
        }
        name
    }

    /// Makes a message one that is refused for itself: to a destination that no broker has, where
    /// destinations are something to have.
    pub(super) fn spoil(&self, batch: &mut Batch, index: usize) -> RefusalReason {
        let row = &mut batch.messages[index].row;
        match &self.kind {
            Kind::Lines { .. } => {
                row.headers = "[]".into();
                return RefusalReason::HeadersInvalid;
            }
            Kind::Memory(broker) => broker.refuse(row.id, RefusalReason::DestinationMissing),
            _ => {}
        }
        row.destination = unique::name("missing").into();
        RefusalReason::DestinationMissing
    }

    /// How many destinations the trial of many has.
    pub(super) fn many(&self) -> usize {
        match &self.kind {
            Kind::Memory(_) => 100,
            Kind::Kafka { .. } if cfg!(feature = "long") => 1000,
            Kind::Queues { .. } if cfg!(feature = "long") => 100,
            _ => 20,
        }
    }

    /// What consumers see of a destination: all of it, each message at its first time where the
    /// sink may repeat.
    pub(super) fn seen(&self, destination: &str) -> Vec<Seen> {
        let records = match &self.kind {
            Kind::Memory(broker) => return seen_in(broker, destination),
            Kind::Lines { output, .. } => return output.seen(destination),
            Kind::Kafka { address, .. } => wait(read(address, &[destination], SOON)).unwrap(),
            Kind::Streams { rabbit, .. } => {
                wait(read_stream(&rabbit.address(), destination, SOON)).unwrap()
            }
            Kind::Queues { rabbit, .. } => {
                wait(take_queue(&rabbit.address(), destination, SOON)).unwrap()
            }
        };
        let mut seen: Vec<Seen> = Vec::new();
        for message in records.iter().map(Seen::of_record) {
            let again = seen.iter().any(|earlier| earlier.id == message.id);
            assert!(!again || self.may_repeat(), "twice: {message:?}");
            if !again {
                seen.push(message);
            }
        }
        seen
    }

    fn may_repeat(&self) -> bool {
        match &self.kind {
            Kind::Memory(_) | Kind::Lines { .. } | Kind::Streams { .. } => false,
            Kind::Kafka { exactly_once, .. } => !exactly_once,
            Kind::Queues { .. } => true,
        }
    }
}

/// A database with the outbox's schema and a row for the relay.
async fn database_with(relay: &str) -> Address {
    let postgres = testbed::shared_postgres().await.unwrap();
    let database = postgres.create_database().await.unwrap();
    let client = postgres
        .connect(postgres.superuser(), &database)
        .await
        .unwrap();
    schema::migrate(&client).await.unwrap();
    let sql = "insert into outbox.relay (name, epoch) values ($1, 1)";
    client.execute(sql, &[&relay]).await.unwrap();
    Address::parse(&postgres.url(postgres.superuser(), &database)).unwrap()
}

/// What runs the test's own side, and the connection of the checkpoint's row.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}
