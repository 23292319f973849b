use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use testbed::unique;
use tokio::task::JoinSet;

use crate::scenario::Scenario;
use crate::target::Target;

/// Connections that write; a key belongs to one of them, so that its commit order is known.
const WRITERS: usize = 4;
const KEYS: usize = 1000;
/// The keys from here on go elsewhere: to a destination that is not there yet, to one that cannot be,
/// and to a topic for small messages.
const ELSEWHERE: usize = 990;
/// The most messages of a transaction.
const TRANSACTION_MAX: usize = 40;

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poison {
    None,
    /// Larger than the relay's limit.
    Large,
    /// A header under a name of ours.
    Headers,
    /// A type that AMQP cannot carry.
    Type,
    /// No such destination.
    Missing,
    /// A name that no destination can have.
    Invalid,
    /// Larger than the topic allows.
    LargeForTopic,
}

/// A message, by its number.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) key: usize,
    pub(super) poison: Poison,
}

/// What is written, and where it goes.
pub(super) struct Work {
    messages: Vec<Planned>,
    seed: u64,
    pub(super) main: String,
    pub(super) missing: String,
    pub(super) invalid: Option<String>,
    small: Option<String>,
}

/// Writers at work.
pub(super) struct Writing {
    committed: Arc<AtomicUsize>,
    writers: JoinSet<()>,
}

impl Work {
    pub(super) fn new(
        random: &mut fastrand::Rng,
        scenario: &Scenario,
        count: usize,
        poison: usize,
    ) -> Self {
        let is_kafka = matches!(scenario.target, Target::Kafka(_));
        let mut work = Self {
            messages: Vec::with_capacity(count),
            seed: random.u64(..),
            main: scenario.target.destination().to_owned(),
            missing: unique::name("missing"),
            invalid: is_kafka.then(|| "no such/topic".to_owned()),
            small: is_kafka.then(|| unique::name("small")),
        };
        for _ in 0..count {
            let key = random.usize(..KEYS);
            let poison = match work.destination_of(key) {
                name if name == work.missing => Poison::Missing,
                name if Some(name) == work.invalid.as_deref() => Poison::Invalid,
                _ => Poison::None,
            };
            work.messages.push(Planned { key, poison });
        }
        let kinds = if is_kafka {
            [Poison::Large, Poison::Headers]
        } else {
            [Poison::Headers, Poison::Type]
        };
        for which in 0..poison {
            // In the first half, so that all of it is refused before anything is mended.
            let number = random.usize(..count / 2);
            let on_small =
                Some(work.destination_of(work.messages[number].key)) == work.small.as_deref();
            let planned = &mut work.messages[number];
            if planned.poison == Poison::None {
                planned.poison = if on_small {
                    Poison::LargeForTopic
                } else {
                    *[kinds[0], kinds[1], Poison::Large].get(which % 3).unwrap()
                };
            }
        }
        work
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn message(&self, number: usize) -> &Planned {
        &self.messages[number]
    }

    pub(super) fn halves(&self) -> (Range<usize>, Range<usize>) {
        let half = self.messages.len() / 2;
        (0..half, half..self.messages.len())
    }

    pub(super) fn destination_of(&self, key: usize) -> &str {
        let others = [
            Some(&self.missing),
            self.invalid.as_ref(),
            self.small.as_ref(),
        ];
        match key.checked_sub(ELSEWHERE) {
            Some(place @ 0..=8) => others[place / 3].map_or(&self.main, |name| name),
            _ => &self.main,
        }
    }

    /// Where messages are found once everything is mended.
    pub(super) fn places(&self) -> Vec<&str> {
        let places = [Some(&self.main), Some(&self.missing), self.small.as_ref()];
        places.into_iter().flatten().map(String::as_str).collect()
    }

    /// The numbers of each key's messages among the first, in commit order.
    pub(super) fn by_key(&self, count: usize) -> BTreeMap<usize, Vec<usize>> {
        let mut by_key = BTreeMap::<usize, Vec<usize>>::new();
        for (number, planned) in self.messages.iter().enumerate().take(count) {
            by_key.entry(planned.key).or_default().push(number);
        }
        by_key
    }

    /// Makes what must be there from the start.
    pub(super) async fn prepare(&self, scenario: &Scenario) {
        if let (Target::Kafka(topic), Some(small)) = (&scenario.target, &self.small) {
            let limits = [("max.message.bytes", "5000")];
            topic
                .address
                .create_topic_with(small, 2, &limits)
                .await
                .unwrap();
        }
    }

    /// Mends what can be mended at the broker.
    pub(super) async fn mend(&self, scenario: &Scenario) {
        match &scenario.target {
            Target::Kafka(topic) => {
                topic.address.create_topic(&self.missing, 2).await.unwrap();
                let admin: AdminClient<DefaultClientContext> =
                    topic.address.client_config().create().unwrap();
                let resource = ResourceSpecifier::Topic(self.small.as_deref().unwrap());
                let change = AlterConfig::new(resource).set("max.message.bytes", "1000000");
                let changed = admin.alter_configs([&change], &AdminOptions::new()).await;
                changed.unwrap()[0].as_ref().unwrap();
            }
            Target::Queue(queue) => {
                let address = &queue.address;
                address
                    .create_queue(&self.missing, "classic")
                    .await
                    .unwrap();
            }
            Target::Stream(stream) => {
                let address = &stream.address;
                address.create_queue(&self.missing, "stream").await.unwrap();
            }
        }
    }

    /// Writes messages, each writer its own keys.
    pub(super) fn start(&self, scenario: &Scenario, numbers: Range<usize>) -> Writing {
        let committed = Arc::new(AtomicUsize::new(0));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let own = |number: &usize| self.messages[*number].key % WRITERS == writer;
            let rows = numbers.clone().filter(own).map(|number| self.row(number));
            let rows: Vec<Row> = rows.collect();
            let url = scenario.database_url.clone();
            let seed = self.seed ^ writer as u64;
            writers.spawn(write(url, rows, seed, Arc::clone(&committed)));
        }
        Writing { committed, writers }
    }

    fn row(&self, number: usize) -> Row {
        let planned = &self.messages[number];
        let padding = match planned.poison {
            Poison::Large => 30_000,
            Poison::LargeForTopic => 8_000,
            _ => 20,
        };
        Row {
            destination: self.destination_of(planned.key).to_owned(),
            key: format!("k{}", planned.key),
            message_type: match planned.poison {
                Poison::Type => "T".repeat(300),
                _ => "T".to_owned(),
            },
            // Does not compress: brokers measure what arrives.
            payload: format!("{number} {}", noise(number as u64, padding)),
            headers: match planned.poison {
                Poison::Headers => r#"{"outbox-mine": "1"}"#.to_owned(),
                _ => "{}".to_owned(),
            },
        }
    }
}

struct Row {
    destination: String,
    key: String,
    message_type: String,
    payload: String,
    headers: String,
}

fn noise(seed: u64, bytes: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.alphanumeric())
        .take(bytes)
        .collect()
}

/// Transactions of any size, one after the other.
async fn write(url: String, rows: Vec<Row>, seed: u64, committed: Arc<AtomicUsize>) {
    let client = crate::scenario::connect(&url).await;
    let mut random = fastrand::Rng::with_seed(seed);
    let sql = "insert into outbox.message (destination, key, type, payload, headers)
               select d, k, t, convert_to(p, 'UTF8'), h::jsonb
               from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                    with ordinality as r (d, k, t, p, h, n)
               order by n";
    let mut rest = &rows[..];
    while !rest.is_empty() {
        let (now, later) = rest.split_at(random.usize(1..=TRANSACTION_MAX).min(rest.len()));
        rest = later;
        let column = |of: fn(&Row) -> &str| now.iter().map(of).collect::<Vec<_>>();
        let columns = (
            column(|row| &row.destination),
            column(|row| &row.key),
            column(|row| &row.message_type),
            column(|row| &row.payload),
            column(|row| &row.headers),
        );
        client
            .execute(
                sql,
                &[&columns.0, &columns.1, &columns.2, &columns.3, &columns.4],
            )
            .await
            .unwrap();
        committed.fetch_add(now.len(), Ordering::Relaxed);
    }
}

impl Writing {
    pub(super) fn committed(&self) -> usize {
        self.committed.load(Ordering::Relaxed)
    }

    pub(super) async fn finished(self) {
        self.writers.join_all().await;
    }
}
