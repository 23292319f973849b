//! A slot that goes with its test, a shared server has few; and one that somebody else reads.

use std::time::Duration;

use testbed::{Program, Spawn, wait};

use super::{DEADLINE, connect};

/// The longest a test waits at its end for its slot to be free.
const SLOT_DROP_MAX: Duration = Duration::from_secs(20);

/// Drops the slot of this name, if there is one by then, when it is dropped itself.
pub(crate) struct DroppedSlot {
    pub(crate) database_url: String,
    pub(crate) name: String,
}

impl Drop for DroppedSlot {
    fn drop(&mut self) {
        // Errors pass: a server of the test's own may be down for good.
        let (url, slot) = (self.database_url.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let _ = tokio::time::timeout(SLOT_DROP_MAX, drop_slot(&url, &slot)).await;
            });
        });
        let _ = dropping.join();
    }
}

/// Somebody else's reader of a slot; returns once the server has heard of it.
pub(crate) async fn reading(database_url: &str, slot: &str) -> Program {
    let program = testbed::provision::postgres_client("pg_recvlogical").unwrap();
    let command = Spawn::new(program.to_string_lossy())
        .args([
            "--dbname",
            database_url,
            "--slot",
            slot,
            "--start",
            "--no-loop",
        ])
        .args(["-o", "proto_version=1", "-o"])
        .arg(format!("publication_names={slot}"))
        .args(["-f", "/dev/null"]);
    let reader = Program::start("pg_recvlogical", command).unwrap();
    let client = connect(database_url).await;
    let read = "select exists (select from pg_replication_slots as s \
                join pg_stat_replication as r on r.pid = s.active_pid \
                where s.slot_name = $1 and r.reply_time is not null)";
    wait::until("the slot read", DEADLINE, async || {
        client.query_one(read, &[&slot]).await.unwrap().get(0)
    })
    .await
    .unwrap();
    reader
}

/// The relay was killed a moment ago: its walsender may need another to notice.
async fn drop_slot(url: &str, slot: &str) -> Result<(), testbed::Error> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .map_err(testbed::Error::because("connect"))?;
    let connection = tokio::spawn(connection);
    let sql = "select pg_drop_replication_slot(slot_name) from pg_replication_slots \
               where slot_name = $1";
    wait::until("the slot dropped", SLOT_DROP_MAX, || async {
        client.query(sql, &[&slot]).await.is_ok()
    })
    .await?;
    drop(client);
    let _ = connection.await;
    Ok(())
}
