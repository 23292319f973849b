//! Concurrent writers that fill an outbox and remember what they did.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::error::Error;
use crate::history::transaction::{Ending, Shape, perform, server_away};
use crate::wait;

/// The longest outage of the database that a writer sits out.
const OUTAGE_MAX: Duration = Duration::from_secs(180);
/// One message in this many has no key.
const KEYLESS_ONE_IN: usize = 10;

/// What the writers do. The seed fixes shapes, sizes, keys and ids, not the interleaving.
#[derive(Debug, Clone)]
pub struct WriterPlan {
    /// Fixes what each writer draws; print it.
    pub seed: u64,
    /// The outbox's table. It needs the columns `id`, `destination`, `key`, `type`,
    /// `content_type`, `payload` and `headers`.
    pub table: String,
    /// Every message goes to one of these, drawn at random.
    pub destinations: Vec<String>,
    /// Concurrent connections.
    pub writers: usize,
    /// Committed messages in all; unknown outcomes make it a few more.
    pub messages: usize,
    /// Each writer's own keys: nobody else writes them, so the writer's count is commit order.
    pub keys_per_writer: usize,
    /// The longest random pause between two transactions of a writer.
    pub pause_max: Duration,
}

impl WriterPlan {
    /// 8 writers, 20,000 messages to `destination` in the table `outbox.message`, without pauses.
    #[must_use]
    pub fn new(seed: u64, destination: &str) -> Self {
        Self {
            seed,
            table: "outbox.message".to_owned(),
            destinations: vec![destination.to_owned()],
            writers: 8,
            messages: 20_000,
            keys_per_writer: 20,
            pause_max: Duration::ZERO,
        }
    }
}

/// One message as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where to.
    pub destination: String,
    /// The key, if it has one.
    pub key: Option<String>,
    /// Grows in commit order among the messages of one key, with holes; 0 without a key.
    pub key_sequence: u64,
    /// JSON with `writer`, `txn`, `n` (the row's number in the transaction) and `key_seq`.
    pub payload: Option<Vec<u8>>,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = self.payload.as_deref().unwrap_or_default();
        let key = self.key.as_deref().unwrap_or("(none)");
        write!(f, "to {} key {key} payload ", self.destination)?;
        f.write_str(&String::from_utf8_lossy(payload))
    }
}

/// What was written in the end, as the table says.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Every committed message.
    pub committed: HashMap<Uuid, Written>,
    /// Every message that was sent to the server and is not in the table.
    pub rolled_back: HashSet<Uuid>,
}

/// Running writers; dropped, they stop.
#[derive(Debug)]
pub struct Writers {
    url: String,
    table: String,
    tasks: JoinSet<Result<Vec<Attempt>, Error>>,
    committed: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
}

/// Rows of one transaction that share a fate.
#[derive(Debug)]
struct Attempt {
    fate: Fate,
    rows: Vec<(Uuid, Written)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    RolledBack,
    Unknown,
}

impl Writers {
    /// Starts the writers as tasks of the current runtime.
    #[must_use]
    pub fn start(url: &str, plan: &WriterPlan) -> Self {
        let committed = Arc::new(AtomicUsize::new(0));
        let enough = Arc::<AtomicBool>::default();
        let mut tasks = JoinSet::new();
        for number in 0..plan.writers {
            let share = plan.messages / plan.writers;
            let rest = plan.messages % plan.writers;
            let writer = Writer {
                number,
                quota: share + usize::from(number < rest),
                url: url.to_owned(),
                plan: plan.clone(),
                random: fastrand::Rng::with_seed(plan.seed.wrapping_add(number as u64)),
                key_sequences: HashMap::new(),
                committed: Arc::clone(&committed),
                enough: Arc::clone(&enough),
            };
            tasks.spawn(writer.run());
        }
        Self {
            url: url.to_owned(),
            table: plan.table.clone(),
            tasks,
            committed,
            enough,
        }
    }

    /// Lets each writer stop after its present transaction, however much it still had to write.
    pub fn stop(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// How many messages are known to be committed by now.
    #[must_use]
    pub fn committed(&self) -> usize {
        self.committed.load(Ordering::Relaxed)
    }

    /// Waits for the writers to be done, then asks the table what was committed.
    ///
    /// # Errors
    /// When a writer failed other than by a server that was away for less than three minutes, or
    /// when the database forgot a committed message or kept one that was rolled back.
    pub async fn finish(mut self) -> Result<History, Error> {
        let mut attempts = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            attempts.extend(ended.map_err(Error::because("a writer panicked"))??);
        }
        let (client, _) = connect(&self.url).await?;
        let present = present(&client, &self.table).await?;
        let mut history = History::default();
        for attempt in attempts {
            for (id, written) in attempt.rows {
                match (attempt.fate, present.contains(&id)) {
                    (Fate::Committed, false) => {
                        return Err(Error::new(format!("PostgreSQL lost {id}: {written}")));
                    }
                    (Fate::RolledBack, true) => {
                        return Err(Error::new(format!("PostgreSQL kept {id}: {written}")));
                    }
                    (_, true) => drop(history.committed.insert(id, written)),
                    (_, false) => drop(history.rolled_back.insert(id)),
                }
            }
        }
        Ok(history)
    }
}

async fn present(client: &Client, table: &str) -> Result<HashSet<Uuid>, Error> {
    let rows = client
        .query(&format!("select id from {table}"), &[])
        .await
        .map_err(Error::because(format!("{table} cannot be read")))?;
    let id = |row: &tokio_postgres::Row| row.try_get::<_, Uuid>(0);
    rows.iter()
        .map(id)
        .collect::<Result<_, _>>()
        .map_err(Error::because("id is no uuid"))
}

struct Writer {
    number: usize,
    quota: usize,
    url: String,
    plan: WriterPlan,
    random: fastrand::Rng,
    key_sequences: HashMap<(String, String), u64>,
    committed: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
}

impl Writer {
    async fn run(mut self) -> Result<Vec<Attempt>, Error> {
        let mut attempts = Vec::new();
        let mut done = 0;
        let mut transaction = 0;
        let (mut client, mut backend) = connect(&self.url).await?;
        while done < self.quota && !self.enough.load(Ordering::Relaxed) {
            let (shape, rows) = Shape::choose(&mut self.random);
            let rows = self.rows(transaction, rows.min(self.quota - done));
            transaction += 1;
            let ending = perform(&client, &self.plan.table, shape, &rows).await?;
            let fate = match ending {
                Ending::Done => Fate::Committed,
                Ending::Lost => Fate::RolledBack,
                Ending::Unknown => Fate::Unknown,
            };
            let (kept, dropped): (Vec<_>, Vec<_>) = rows
                .into_iter()
                .enumerate()
                .partition(|(number, _)| shape.keeps(*number));
            let plain = |rows: Vec<(usize, _)>| rows.into_iter().map(|(_, row)| row).collect();
            let kept = Attempt {
                fate,
                rows: plain(kept),
            };
            if fate == Fate::Committed {
                done += kept.rows.len();
                self.committed.fetch_add(kept.rows.len(), Ordering::Relaxed);
            }
            attempts.push(kept);
            attempts.push(Attempt {
                fate: Fate::RolledBack,
                rows: plain(dropped),
            });
            if ending != Ending::Done {
                (client, backend) = reconnect(&self.url, &backend).await?;
            }
            if !self.plan.pause_max.is_zero() {
                let pause = self.plan.pause_max.mul_f64(self.random.f64());
                tokio::time::sleep(pause).await;
            }
        }
        Ok(attempts)
    }

    fn rows(&mut self, transaction: u64, count: usize) -> Vec<(Uuid, Written)> {
        (0..count)
            .map(|number| self.row(transaction, number))
            .collect()
    }

    fn row(&mut self, transaction: u64, number: usize) -> (Uuid, Written) {
        let drawn = self.random.usize(0..self.plan.destinations.len().max(1));
        let destination = self
            .plan
            .destinations
            .get(drawn)
            .cloned()
            .unwrap_or_default();
        let keyless = self.random.usize(0..KEYLESS_ONE_IN) == 0;
        let key = self.random.usize(0..self.plan.keys_per_writer.max(1));
        let key = (!keyless).then(|| format!("w{}-k{key}", self.number));
        let key_sequence = key.as_ref().map_or(0, |key| {
            let last = self
                .key_sequences
                .entry((destination.clone(), key.clone()))
                .or_default();
            *last += 1;
            *last
        });
        let mut payload = json!({ "writer": self.number, "txn": transaction, "n": number });
        if let (Some(_), Some(object)) = (&key, payload.as_object_mut()) {
            object.insert("key_seq".to_owned(), key_sequence.into());
        }
        let payload = Some(payload.to_string().into_bytes());
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let milliseconds = u64::try_from(now.as_millis()).unwrap_or_default();
        let mut bytes = [0; 10];
        self.random.fill(&mut bytes);
        let id = uuid::Builder::from_unix_timestamp_millis(milliseconds, &bytes).into_uuid();
        (
            id,
            Written {
                destination,
                key,
                key_sequence,
                payload,
            },
        )
    }
}

/// Names a backend for good: process ids come again, start times do not.
#[derive(Debug)]
struct Backend {
    pid: i32,
    started: String,
}

/// Connects anew, and waits until the lost connection's backend is gone: it could otherwise commit
/// after the next transaction of this writer, and the order of its keys would not be known.
async fn reconnect(url: &str, lost: &Backend) -> Result<(Client, Backend), Error> {
    let gone = "select not exists (select from pg_stat_activity \
                where pid = $1 and backend_start::text = $2)";
    wait::until_some("the end of a lost backend", OUTAGE_MAX, async || {
        let (client, backend) = connect(url).await.ok()?;
        let row = client
            .query_one(gone, &[&lost.pid, &lost.started])
            .await
            .ok()?;
        row.try_get::<_, bool>(0).ok()?.then_some((client, backend))
    })
    .await
}

/// Connects, however long the server is away.
async fn connect(url: &str) -> Result<(Client, Backend), Error> {
    let refused = |error| Some(Err(Error::because("a writer cannot connect")(error)));
    wait::until_some("a connection to PostgreSQL", OUTAGE_MAX, async || {
        let (client, connection) = match tokio_postgres::connect(url, NoTls).await {
            Ok(connected) => connected,
            Err(error) if server_away(&error) => return None,
            Err(error) => return refused(error),
        };
        // Its error reaches the writer by the client.
        tokio::spawn(async move { drop(connection.await) });
        let itself = "select pid, backend_start::text from pg_stat_activity \
                      where pid = pg_backend_pid()";
        match client.query_one(itself, &[]).await {
            Ok(row) => {
                let pid = row.try_get(0).ok()?;
                let started = row.try_get(1).ok()?;
                Some(Ok((client, Backend { pid, started })))
            }
            Err(error) if server_away(&error) => None,
            Err(error) => refused(error),
        }
    })
    .await?
}
