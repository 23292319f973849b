//! What a running relay shows: pages, log, checkpoint.

use std::time::{Duration, Instant};

use outbox_core::Lsn;
use outbox_core::checkpoint::Checkpoint;
use serde_json::Value;
use testbed::{Program, assert_no_canary, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::Client;

use super::{DEADLINE, Scenario};

/// How often a page is asked for.
const POLL: Duration = Duration::from_millis(20);

impl Scenario {
    /// What the running relay says of itself; nothing while it does not answer.
    pub(crate) async fn status(&self) -> Option<Value> {
        let (_, body) = self.get("/status").await?;
        serde_json::from_str(&body).ok()
    }

    /// Status code and body of a page.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.port.number(), path).await
    }

    /// The value of a metric, written with its labels as on the page.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let (_, page) = self.get("/metrics").await?;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.parse().ok()
    }

    /// Waits until the relay says that it is in this phase.
    pub(crate) async fn phase(&self, phase: &str) {
        self.status_where(phase, |status| status["phase"] == phase)
            .await;
    }

    /// Waits until the relay's status is such, and returns it.
    pub(crate) async fn status_where(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        let mut last = None;
        while Instant::now() < end {
            match self.status().await {
                Some(status) if holds(&status) => return status,
                Some(status) => last = Some(status),
                None => {}
            }
            tokio::time::sleep(POLL).await;
        }
        panic!(
            "relay {}: not {what} within {DEADLINE:?}; last: {last:#?}",
            self.relay
        )
    }

    /// Where the slot stands.
    pub(crate) async fn confirmed(&self, client: &Client) -> Lsn {
        let sql = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";
        let row = client.query_one(sql, &[&self.slot()]).await.unwrap();
        row.get::<_, String>(0).parse().unwrap()
    }

    /// The relay's newest checkpoint, as a new activation would read it.
    pub(crate) async fn checkpoint(&self) -> Option<Checkpoint> {
        self.target
            .checkpoint(&self.relay, &self.client().await)
            .await
    }

    /// With no relay running: waits until the slot is free, and then until what it was told is
    /// covered by a checkpoint. Nothing moves meanwhile, so one that is late cannot hide it.
    pub(crate) async fn slot_is_behind_checkpoint(&self, client: &Client) {
        let sql = "select not active from pg_replication_slots where slot_name = $1";
        wait::until("the slot free", DEADLINE, || async {
            client.query_one(sql, &[&self.slot()]).await.unwrap().get(0)
        })
        .await
        .unwrap();
        let confirmed = self.confirmed(client).await;
        wait::until(
            &format!("a checkpoint that covers {confirmed}"),
            DEADLINE,
            || async {
                let found = self.checkpoint().await;
                found.is_some_and(|found| found.frontier.lsn >= confirmed)
            },
        )
        .await
        .unwrap();
    }
}

/// Status code and body of a page of whoever listens on this port; it has shown no password.
pub(crate) async fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    assert_no_canary(path, &answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

/// Every line it wrote is one of its log, and none is an error.
pub(crate) fn assert_calm(relay: &Program) {
    for line in relay.stderr().unwrap().lines() {
        let parsed: Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("not a line of the log: {line}"));
        assert_ne!(parsed["level"], "ERROR", "{line}");
    }
}

/// The lines of the log with this message.
pub(crate) fn lines(relay: &Program, message: &str) -> Vec<Value> {
    let log = relay.log().unwrap();
    log.into_iter()
        .filter(|line| line["message"] == message)
        .collect()
}
