//! What any reader of the slot is measured against: `pg_recvlogical`, which decodes nothing and
//! throws everything away.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use testbed::{Program, Spawn, provision::postgres_client, unique};

use crate::backlog::Backlog;
use crate::plain::{has_plain_client, plain_client};
use crate::servers::Servers;

const RUN_MAX: Duration = Duration::from_secs(600);

/// Slots of its own beside the relay's, on the same publication.
#[derive(Debug)]
pub struct Ceiling {
    alone: String,
    beside_a_client: String,
    publication: String,
}

impl Ceiling {
    /// Makes the slots: before the backlog, so that their stream holds all of it.
    pub(crate) async fn make(
        servers: &Servers,
        database: &str,
        publication: &str,
    ) -> anyhow::Result<Self> {
        let [alone, beside_a_client] = [(); 2].map(|()| unique::name("ceiling"));
        let client = servers.client(database).await?;
        for slot in [&alone, &beside_a_client] {
            let statement = "select pg_create_logical_replication_slot($1, 'pgoutput')";
            let made = client.execute(statement, &[slot]).await;
            made.context("the slot of the ceiling cannot be made")?;
        }
        Ok(Self {
            alone,
            beside_a_client,
            publication: publication.to_owned(),
        })
    }

    /// Reads the whole backlog by TCP, and says how long that took from the start of the process.
    ///
    /// # Errors
    /// When pg_recvlogical is not installed, fails, or is not done within ten minutes.
    pub async fn run(&self, servers: &Servers, backlog: &Backlog) -> anyhow::Result<Duration> {
        self.read(&self.alone, servers, backlog).await
    }

    /// Reads the whole backlog while the broker's plain client sends as many messages, and says how
    /// long it took until both were done: what a relay would need that had no work of its own.
    /// `None` for brokers that have no plain client here.
    ///
    /// # Errors
    /// As [`run`](Self::run), and when the broker refuses.
    pub async fn run_beside_a_client(
        &self,
        servers: &Servers,
        backlog: &Backlog,
        rows: u64,
    ) -> anyhow::Result<Option<Duration>> {
        if !has_plain_client(servers) {
            return Ok(None);
        }
        let read = self.read(&self.beside_a_client, servers, backlog);
        let (read, sent) = tokio::try_join!(read, plain_client(servers, rows))?;
        Ok(sent.map(|sent| sent.max(read)))
    }

    async fn read(
        &self,
        slot: &str,
        servers: &Servers,
        backlog: &Backlog,
    ) -> anyhow::Result<Duration> {
        let address = servers.postgres().address();
        let command = Spawn::new(postgres_client("pg_recvlogical")?.to_string_lossy())
            .args(["--host", address.host()])
            .args(["--port", &address.port().to_string()])
            .args(["--username", address.superuser()])
            .args(["--dbname", &backlog.place.database])
            .args(["--slot", slot, "--start", "--no-loop"])
            .args(["--option", "proto_version=1"])
            .args([
                "--option",
                &format!("publication_names={}", self.publication),
            ])
            .args(["--endpos", &backlog.end.to_string()])
            .args(["--file", "/dev/null"]);
        let started = Instant::now();
        let program = Program::start("ceiling", command)?;
        let exit = program.exited(RUN_MAX).await?;
        let elapsed = started.elapsed();
        if !exit.success() {
            bail!("pg_recvlogical failed: {exit}\n{}", program.stderr()?);
        }
        Ok(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backlog::Shape;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_ceiling_reads_each_shape_to_its_end() {
        const ROWS: u64 = 2500;
        let servers = Servers::start(crate::outlet::Broker::Kafka).await.unwrap();
        for shape in [Shape::Thousands, Shape::Singles, Shape::Whole] {
            let place = servers.make_place().await.unwrap();
            let client = servers.client(&place.database).await.unwrap();
            let publication = "create publication p for table outbox.message
                               with (publish = 'insert', publish_via_partition_root = true)";
            client.batch_execute(publication).await.unwrap();
            let ceiling = Ceiling::make(&servers, &place.database, "p").await;
            let ceiling = ceiling.unwrap();
            let backlog = Backlog::write(&servers, place, shape, ROWS).await.unwrap();
            let row = client
                .query_one(
                    "select count(*), min(length(payload)), max(length(payload)),
                            count(distinct payload), count(distinct xmin::text)
                     from outbox.message",
                    &[],
                )
                .await
                .unwrap();
            let transactions = match shape {
                Shape::Thousands => 4,
                Shape::Singles => 2500,
                Shape::Whole => 2,
            };
            let found: (i64, i32, i32, i64, i64) =
                (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
            assert_eq!(found, (2500, 300, 300, 2500, transactions), "{shape}");

            ceiling.run(&servers, &backlog).await.unwrap();
            let left = client
                .query_one(
                    "select count(*) from pg_logical_slot_peek_binary_changes(
                         $1, null, null, 'proto_version', '1', 'publication_names', 'p')
                     where get_byte(data, 0) = ascii('B')",
                    &[&ceiling.alone],
                )
                .await
                .unwrap();
            // Its last status may come before the last commit: that one transaction, no more.
            let left: i64 = left.get(0);
            assert!(left <= 1, "{shape}: {left} transactions left");
            backlog.clear(&servers).await.unwrap();
        }
    }
}
