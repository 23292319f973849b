use std::time::Duration;

use outbox_core::checkpoint::Checkpoint;
use outbox_core::relay::{BackoffLimits, BatchLimits, GoneLimits, Settings, Stop, StuckPolicy};
use outbox_core::schema::SchemaName;
use outbox_core::{Frontier, Timestamp};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::control::{ControlSettings, MadeFor};
use crate::driver::{Driver, DriverSettings};
use crate::phantoms::PhantomReader;
use crate::sink::memory::MemoryBroker;
use crate::source::connection::{Address, Startup};
use crate::source::publication::{create_statement, read_publication};
use crate::source::replication::{LaneSettings, Replication};

pub(super) const SOON: Duration = Duration::from_secs(60);
const RELAY: &str = "tests";

/// An outbox that is set up for a relay, and a broker.
pub(super) struct Outbox {
    pub(super) client: Client,
    pub(super) broker: MemoryBroker,
    address: Address,
    slot: String,
}

/// A relay that runs until it is asked to stop.
pub(super) struct Running {
    drain: oneshot::Sender<()>,
    driver: JoinHandle<Stop>,
}

impl Outbox {
    pub(super) async fn new() -> Self {
        let server = testbed::shared_postgres().await.unwrap();
        let database = server.create_database().await.unwrap();
        let client = server.connect(server.superuser(), &database).await.unwrap();
        outbox_core::schema::migrate(&client).await.unwrap();
        let address = Address::parse(&server.url(server.superuser(), &database)).unwrap();
        let (slot, schema) = (format!("outbox_{database}"), SchemaName::default());
        let publication = create_statement(&slot, &schema, None);
        client.batch_execute(&publication).await.unwrap();
        let publication = read_publication(&client, &slot, &schema).await.unwrap();

        let mut connection = Replication::connect(&address, &startup()).await.unwrap();
        let system = connection.identify_system().await.unwrap();
        let made = connection.create_slot(&slot, false).await.unwrap();
        let broker = MemoryBroker::default();
        broker.set_checkpoint(Some(Checkpoint {
            relay: RELAY.to_owned(),
            system_id: system.system_id,
            timeline: system.timeline,
            timeline_history: std::iter::empty().collect(),
            frontier: Frontier::at(made.consistent_point),
            last: None,
            stuck_writes: 0,
            publication_fingerprint: publication.unwrap().fingerprint(),
            sequence: 0,
            written_at: Timestamp::default(),
        }));
        let relay = "insert into outbox.relay (name, destinations, shard, sink, delivery,
                                               genesis_written_at)
                     values ('tests', '{*}', '0/1', 'memory', 'exactly-once', now())";
        client.batch_execute(relay).await.unwrap();
        Self {
            client,
            broker,
            address,
            slot,
        }
    }

    pub(super) fn run(&self, stuck: StuckPolicy) -> Running {
        let (drain, asked) = oneshot::channel();
        let driver = Driver::new(self.settings(stuck), Box::new(self.broker.sink())).unwrap();
        let driver = tokio::spawn(driver.run(async {
            let _ = asked.await;
        }));
        Running { drain, driver }
    }

    pub(super) fn settings(&self, stuck: StuckPolicy) -> DriverSettings {
        let schema = SchemaName::default();
        DriverSettings {
            relay: Settings {
                name: RELAY.to_owned(),
                batch: BatchLimits {
                    messages_max: 1000,
                    bytes_max: 8 << 20,
                    transaction_max: Duration::from_secs(5),
                },
                buffer_bytes_max: 16 << 20,
                stuck,
                gone: GoneLimits {
                    after: 1000,
                    messages_max: 1000,
                },
                attempt_max: Duration::from_secs(30),
                retry: BackoffLimits {
                    delay_min: Duration::from_millis(50),
                    delay_max: Duration::from_secs(1),
                },
                drain_max: Duration::from_secs(20),
            },
            replication: LaneSettings {
                address: self.address.clone(),
                startup: startup(),
                slot: self.slot.clone(),
                publication: self.slot.clone(),
                schema: schema.clone(),
            },
            control: ControlSettings {
                address: self.address.clone(),
                application_name: "outbox-sidecar/tests".to_owned(),
                schema,
                relay: RELAY.to_owned(),
                slot: self.slot.clone(),
                publication: self.slot.clone(),
                made_for: MadeFor {
                    destinations: vec!["*".to_owned()],
                    shard: "0/1".to_owned(),
                    sink: "memory".to_owned(),
                    delivery: "exactly-once".to_owned(),
                },
                run: uuid::Uuid::now_v7(),
            },
            phantoms: PhantomReader::none(),
            seed: 1,
        }
    }

    /// What is published and what waits, by the number in each payload.
    pub(super) async fn outcome(&self) -> (Vec<u32>, Vec<u32>) {
        let number = |payload: &[u8]| std::str::from_utf8(payload).unwrap().parse().unwrap();
        let published = self.broker.messages();
        let published = published
            .iter()
            .map(|delivery| number(delivery.row.payload.as_deref().unwrap()));
        let sql = "select payload from outbox.parked where state in ('waiting', 'replaying')
                   order by commit_lsn, index";
        let parked = self.client.query(sql, &[]).await.unwrap();
        let parked = parked.iter().map(|row| number(row.get::<_, &[u8]>(0)));
        (published.collect(), parked.collect())
    }
}

impl Running {
    pub(super) async fn stop(self) {
        self.drain.send(()).unwrap();
        assert_eq!(self.driver.await.unwrap(), Stop::Drained);
    }

    /// It is gone at once, wherever it is.
    pub(super) async fn kill(self) {
        self.driver.abort();
        let _ = self.driver.await;
    }
}

fn startup() -> Startup {
    Startup {
        application_name: "outbox-sidecar/tests".to_owned(),
        wal_sender_timeout: Duration::from_secs(4),
    }
}
