//! One relay between a database and a topic of its own, run by the real program.

pub(crate) mod evidence;
pub(crate) mod memory;
pub(crate) mod observation;
pub(crate) mod slot;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use testbed::history::Record;
use testbed::{
    KafkaAddress, PostgresAddress, Program, ReservedPort, Spawn, assert_no_canary, unique, wait,
};
use tokio_postgres::Client;

use self::slot::DroppedSlot;
use crate::target::{Target, Topic};

/// The longest any condition may take on a busy machine with two cores.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct Scenario {
    pub(crate) relay: String,
    pub(crate) database_url: String,
    pub(crate) target: Target,
    port: ReservedPort,
    directory: PathBuf,
    _slot: DroppedSlot,
}

impl Drop for Scenario {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Scenario {
    /// A fresh database and topic on these servers, and a configuration that names them.
    pub(crate) async fn new(postgres: &PostgresAddress, kafka: &KafkaAddress) -> Self {
        Self::to(postgres, Target::kafka(kafka).await).await
    }

    /// A fresh database on this server, to be relayed to this target.
    pub(crate) async fn to(postgres: &PostgresAddress, target: Target) -> Self {
        let database = postgres.create_database().await.unwrap();
        let relay = unique::name("relay").replace('-', "_");
        let database_url = postgres.url_with_canary(&database);
        let scenario = Self {
            _slot: DroppedSlot {
                database_url: database_url.clone(),
                name: format!("outbox_{relay}"),
            },
            database_url,
            target,
            port: ReservedPort::find().unwrap(),
            directory: std::env::temp_dir().join(unique::name("scenario")),
            relay,
        };
        std::fs::create_dir(&scenario.directory).unwrap();
        scenario.configure(&scenario.configuration());
        scenario
    }

    /// On the servers that all tests share.
    pub(crate) async fn shared() -> Self {
        let (postgres, kafka) =
            tokio::try_join!(testbed::shared_postgres(), testbed::shared_kafka()).unwrap();
        Self::new(postgres, kafka).await
    }

    /// Set up, with an outbox that exists.
    pub(crate) async fn initialised() -> Self {
        let scenario = Self::shared().await;
        scenario.init(&[]).await;
        scenario
    }

    /// The name of the relay's slot and publication.
    pub(crate) fn slot(&self) -> String {
        format!("outbox_{}", self.relay)
    }

    /// The topic of a relay to Kafka.
    pub(crate) fn topic(&self) -> &Topic {
        match &self.target {
            Target::Kafka(topic) => topic,
            _ => panic!("not a relay to Kafka"),
        }
    }

    pub(crate) fn configuration(&self) -> String {
        format!(
            "[relay]\nname = \"{}\"\n[postgres]\nurl = \"{}\"\n{}[http]\nlisten = \"127.0.0.1:{}\"\n",
            self.relay,
            self.database_url,
            self.target.section(),
            self.port.number()
        )
    }

    /// Where the relay's pages are.
    pub(crate) fn http_address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port.number()).into()
    }

    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.join("outbox.toml")
    }

    /// Runs one command to its end.
    pub(crate) async fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outbox-sidecar"));
        command.args(arguments).arg("-c").arg(self.file());
        command.envs(environment.iter().copied());
        let ran = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap();
        Ran::from(ran.unwrap())
    }

    /// Runs `init`, which must succeed; returns what it said.
    pub(crate) async fn init(&self, options: &[&str]) -> String {
        let arguments: Vec<_> = ["init"].iter().chain(options).copied().collect();
        let ran = self.command(&arguments, &[]).await;
        assert_eq!(ran.code, Some(0), "init: {}", ran.stderr);
        ran.stderr
    }

    /// Runs `check`, which ends with this exit code, and returns what it says.
    pub(crate) async fn check(&self, code: i32) -> String {
        let ran = self.command(&["check"], &[]).await;
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs the relay until it ends by itself: its exit code and what it said.
    pub(crate) async fn run_to_end(&self) -> Ran {
        self.run_to_end_with(&[]).await
    }

    /// The same with some keys set otherwise, each as `key=value`.
    pub(crate) async fn run_to_end_with(&self, settings: &[&str]) -> Ran {
        let settings = settings.iter().flat_map(|setting| ["--set", *setting]);
        let arguments: Vec<_> = ["run"].into_iter().chain(settings).collect();
        let running = self.command(&arguments, &[]);
        tokio::time::timeout(DEADLINE, running)
            .await
            .expect("the relay should end by itself")
    }

    /// Starts the relay; it ends when it is dropped.
    pub(crate) fn start(&self) -> Program {
        self.start_with(&[])
    }

    /// Starts the relay with some keys set otherwise, each as `key=value`.
    pub(crate) fn start_with(&self, settings: &[&str]) -> Program {
        Program::start(&self.relay, self.spawn(settings)).unwrap()
    }

    /// The same, to be killed where the failpoint says, or frozen there.
    pub(crate) fn start_failing(&self, failpoint: &str, settings: &[&str]) -> Program {
        let command = self.spawn(settings).env("OUTBOX_FAILPOINT", failpoint);
        Program::start(&self.relay, command).unwrap()
    }

    fn spawn(&self, settings: &[&str]) -> Spawn {
        let mut command = Spawn::new(env!("CARGO_BIN_EXE_outbox-sidecar"))
            .arg("run")
            .arg("-c")
            .arg(self.file().to_str().unwrap());
        for setting in settings {
            command = command.arg("--set").arg(*setting);
        }
        command
    }

    /// Starts the relay and waits until it is active.
    pub(crate) async fn start_active(&self) -> Program {
        let program = self.start();
        self.phase("active").await;
        program
    }

    pub(crate) async fn client(&self) -> Client {
        connect(&self.database_url).await
    }

    /// Waits until everything that has committed by now is published and confirmed.
    pub(crate) async fn drained(&self, postgres: &Client) {
        let row = postgres
            .query_one("select pg_current_wal_insert_lsn()::text", &[])
            .await
            .unwrap();
        let end: String = row.get(0);
        let waited = wait::until(
            &format!("slot of {} confirmed to {end}", self.relay),
            DEADLINE,
            || async {
                let sql = "select confirmed_flush_lsn >= $2::text::pg_lsn \
                       from pg_replication_slots where slot_name = $1";
                postgres
                    .query_one(sql, &[&self.slot(), &end])
                    .await
                    .is_ok_and(|row| row.get(0))
            },
        )
        .await;
        if let Err(error) = waited {
            panic!("{error}; the relay says {:#?}", self.status().await);
        }
    }

    /// The broker holds what the outbox does, as `verify` sees it.
    pub(crate) async fn verified(&self) {
        let ran = self.command(&["verify"], &[]).await;
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    }

    /// Everything that a consumer (in Kafka, of committed records) sees now.
    pub(crate) async fn records(&self) -> Vec<Record> {
        self.target.records().await
    }

    /// Commits rows of a transaction each; their payload is their number.
    pub(crate) async fn enqueue(&self, client: &Client, numbers: std::ops::Range<usize>) {
        let sql = "insert into outbox.message (destination, key, type, payload) \
                   values ($1, $2, 'T', convert_to($3, 'UTF8'))";
        for number in numbers {
            let (key, payload) = (format!("k{}", number % 7), number.to_string());
            client
                .execute(sql, &[&self.target.destination(), &key, &payload])
                .await
                .unwrap();
        }
    }

    /// The numbers that [`Scenario::enqueue`] wrote, as a consumer sees them now, sorted; where the
    /// target may show a message twice, by its first time. Within each key they must have come in
    /// order.
    pub(crate) async fn numbers(&self) -> Vec<usize> {
        let mut last_of_key = HashMap::new();
        let mut seen = HashSet::new();
        let mut numbers = Vec::new();
        for record in &self.records().await {
            if !seen.insert(record.id) && self.target.may_repeat() {
                continue;
            }
            let number: usize = String::from_utf8_lossy(record.payload.as_deref().unwrap())
                .parse()
                .unwrap();
            let before = last_of_key.insert(record.key.clone(), number);
            assert!(before < Some(number), "{record}: {number} after {before:?}");
            numbers.push(number);
        }
        numbers.sort_unstable();
        numbers
    }
}

/// How a command ended; it has shown no password.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let ran = Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert_no_canary("standard output", &ran.stdout);
        assert_no_canary("standard error", &ran.stderr);
        ran
    }
}

/// A connection for SQL.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// A seed from the environment, or a new one; printed, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("OUTBOX_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("OUTBOX_TEST_SEED={seed}");
    seed
}
