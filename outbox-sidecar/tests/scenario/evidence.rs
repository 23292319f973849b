//! What a relay that must not go on leaves as it is.

use outbox_core::Lsn;
use tokio_postgres::Client;
use uuid::Uuid;

use super::Scenario;

/// What consumers see, how far the slot is confirmed, and the checkpoint's number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    visible: Vec<(i32, i64, Option<Uuid>)>,
    confirmed: Option<Lsn>,
    sequence: Option<u64>,
}

impl Scenario {
    /// Of the slot on the server of `client`, if it is there.
    pub(crate) async fn evidence(&self, client: &Client) -> Evidence {
        let mut visible: Vec<_> = self
            .records()
            .await
            .iter()
            .map(|record| (record.partition, record.offset, record.id))
            .collect();
        visible.sort_unstable();
        let sql = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";
        let slot = client.query_opt(sql, &[&self.slot()]).await.unwrap();
        Evidence {
            visible,
            confirmed: slot.map(|row| row.get::<_, String>(0).parse().unwrap()),
            sequence: self
                .target
                .checkpoint(&self.relay, client)
                .await
                .map(|found| found.sequence),
        }
    }

    /// The relay, with these settings, ends with this code and says why, as often as it is started,
    /// and nothing is published, confirmed on the server of `client`, or noted by it.
    pub(crate) async fn refuses_to_go_on(
        &self,
        client: &Client,
        settings: &[&str],
        code: i32,
        texts: &[&str],
    ) {
        let before = self.evidence(client).await;
        for _ in 0..2 {
            let ran = self.run_to_end_with(settings).await;
            assert_eq!(ran.code, Some(code), "{}", ran.stderr);
            for text in texts {
                assert!(ran.stderr.contains(text), "{text:?}: {}", ran.stderr);
            }
        }
        assert_eq!(self.evidence(client).await, before);
    }
}
