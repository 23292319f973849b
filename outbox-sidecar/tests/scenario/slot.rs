//! A slot that goes with its test: a shared server has few.

use std::time::Duration;

use testbed::wait;

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
