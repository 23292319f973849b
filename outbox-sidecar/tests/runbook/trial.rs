//! A relay in the state that a part of the runbook is about, and whoever follows the text there.

use std::path::Path;
use std::process::{Command, Stdio};

use testbed::{KafkaAddress, PostgresAddress, provision, unique, wait};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::PAGE;
use crate::page::{Values, blocks};
use crate::scenario::{DEADLINE, Ran, Scenario};

/// More than a topic of [`Trial::small_topic`] takes.
pub(crate) const TOO_LARGE_BYTES: usize = 60_000;

/// Kafka's tools warn of topics with an underscore.
pub(crate) fn topic_name(prefix: &str) -> String {
    unique::name(prefix).replace('_', "-")
}

pub(crate) struct Trial {
    pub(crate) scenario: Scenario,
    pub(crate) client: Client,
    pub(crate) values: Values,
    steps: &'static [&'static str],
    done: usize,
    failures: Vec<String>,
}

impl Trial {
    /// On the servers that all tests share. It will follow these steps.
    pub(crate) async fn new(steps: &'static [&'static str]) -> Self {
        let servers = tokio::try_join!(testbed::shared_postgres(), testbed::shared_kafka());
        let (postgres, kafka) = servers.unwrap();
        Self::on(postgres, kafka, steps).await
    }

    pub(crate) async fn on(
        postgres: &PostgresAddress,
        kafka: &KafkaAddress,
        steps: &'static [&'static str],
    ) -> Self {
        let scenario = Scenario::new(postgres, kafka).await;
        scenario.init(&[]).await;
        let client = scenario.client().await;
        let values = Values::from([
            ("BROKER", kafka.bootstrap().to_owned()),
            ("DESTINATION", scenario.target.destination().to_owned()),
            ("KEY", "4711".to_owned()),
            ("RELAY", scenario.relay.clone()),
            ("ROLE", postgres.superuser().to_owned()),
        ]);
        let trial = Self {
            scenario,
            client,
            values,
            steps,
            done: 0,
            failures: Vec::new(),
        };
        testbed::install_kafka_tools(&trial.directory()).unwrap();
        trial
    }

    fn directory(&self) -> std::path::PathBuf {
        let file = self.scenario.file();
        file.parent().map(Path::to_owned).unwrap()
    }

    /// A value of a placeholder.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.values.insert(name, value.into());
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        &self.values[name]
    }

    /// A topic that takes no message above 20,000 bytes becomes the destination.
    pub(crate) async fn small_topic(&mut self) {
        let name = topic_name("small");
        let limit = [("max.message.bytes", "20000")];
        let kafka = &self.scenario.topic().address;
        kafka.create_topic_with(&name, 1, &limit).await.unwrap();
        self.set("DESTINATION", name);
    }

    /// Commits a message; returns its id.
    pub(crate) async fn enqueue(
        &self,
        destination: &str,
        key: Option<&str>,
        payload: &str,
    ) -> String {
        let sql = "insert into outbox.message (destination, key, type, payload) \
                   values ($1, $2, 'PolicyIssued', convert_to($3, 'UTF8')) returning id::text";
        let values: [&(dyn ToSql + Sync); 3] = [&destination, &key, &payload];
        self.client.query_one(sql, &values).await.unwrap().get(0)
    }

    /// The key's first message arrives, the second is too large, the third waits behind it.
    pub(crate) async fn block_the_key(&mut self) {
        let (destination, key) = (
            self.get("DESTINATION").to_owned(),
            self.get("KEY").to_owned(),
        );
        let large = format!("2{}", " ".repeat(TOO_LARGE_BYTES));
        for (name, payload) in [("FIRST", "1"), ("ID", large.as_str()), ("FOLLOWER", "3")] {
            let id = self.enqueue(&destination, Some(&key), payload).await;
            self.set(name, id);
        }
        self.waiting(2).await;
    }

    /// Waits until so many messages wait for a decision.
    pub(crate) async fn waiting(&self, count: i64) {
        wait::until(&format!("{count} messages set aside"), DEADLINE, || async {
            self.count_waiting().await >= count
        })
        .await
        .unwrap();
    }

    pub(crate) async fn count_waiting(&self) -> i64 {
        let sql = "select count(*) from outbox.parked where state = 'waiting'";
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until everything that was asked for is carried out.
    pub(crate) async fn carried_out(&self) {
        let sql = "select count(*) from outbox.request where state <> 'done'";
        wait::until("the requests carried out", DEADLINE, || async {
            let row = self.client.query_one(sql, &[]).await.unwrap();
            row.get::<_, i64>(0) == 0
        })
        .await
        .unwrap();
    }

    /// Types what a block of the page says; what differs from the text is a failure.
    pub(crate) async fn step(&mut self, name: &str) {
        assert_eq!(self.steps.get(self.done), Some(&name));
        self.done += 1;
        let blocks = blocks(PAGE);
        for command in &blocks[name] {
            let text = command.text(&self.values);
            let ran = self.shell(&text).await;
            let printed = format!("{}{}", ran.stdout, ran.stderr);
            if ran.code != Some(command.code) || !command.matches(&printed, &self.values) {
                let failure = format!(
                    "{name}: $ {text}\n{printed}$ echo $?\n{:?}\nand the page says {command:#?}\n",
                    ran.code
                );
                println!("{failure}");
                self.failures.push(failure);
            }
        }
    }

    /// Runs a line as a shell does, where the configuration lies.
    pub(crate) async fn shell(&self, line: &str) -> Ran {
        let directory = self.directory();
        let psql = provision::postgres_client("psql").unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_outbox-sidecar"));
        let folders = [program.parent(), Some(directory.as_path()), psql.parent()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = folders.into_iter().flatten().map(Path::to_owned);
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(&directory)
            .env("PATH", path)
            .env("DATABASE_URL", &self.scenario.database_url)
            .env("EDITOR", "sed -i s/outbox-tenant/tenant/")
            .env("USER", "anna")
            .stdin(Stdio::null());
        let ran = tokio::task::spawn_blocking(move || command.output());
        Ran::from(ran.await.unwrap().unwrap())
    }

    /// Each step was taken and went as the text says.
    pub(crate) fn finish(&self) {
        assert_eq!(self.done, self.steps.len(), "a step was left out");
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
    }
}
