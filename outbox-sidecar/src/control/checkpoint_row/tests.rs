//! Who may write the row, and over what.

use std::sync::OnceLock;

use outbox_core::checkpoint::Checkpoint;
use outbox_core::schema::SchemaName;
use outbox_core::sink::{AcquireError, Outcome};
use outbox_core::{Frontier, Lsn, SystemId, TimelineHistory, TimelineId, Timestamp};
use tokio::runtime::Runtime;

use super::CheckpointRow;
use crate::sink::at_least_once::CheckpointStore;
use crate::source::connection::Address;

const RELAY: &str = "tests";

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// A database in which the relay has a row.
struct Database {
    url: String,
}

impl Database {
    fn new() -> Self {
        runtime().block_on(async {
            let server = testbed::shared_postgres().await.unwrap();
            let name = server.create_database().await.unwrap();
            let client = server.connect(server.superuser(), &name).await.unwrap();
            outbox_core::schema::migrate(&client).await.unwrap();
            let url = server.url(server.superuser(), &name);
            Self { url }
        })
    }

    fn with_relay() -> Self {
        let database = Self::new();
        database.execute("insert into outbox.relay (name, epoch) values ('tests', 0)");
        database
    }

    fn execute(&self, sql: &str) {
        runtime().block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, tokio_postgres::NoTls)
                .await
                .unwrap();
            let connection = tokio::spawn(connection);
            client.batch_execute(sql).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
        });
    }

    /// What a relay does with its new epoch before it acquires.
    fn claim(&self, epoch: u64) {
        self.execute(&format!("update outbox.relay set epoch = {epoch}"));
    }

    fn row(&self) -> CheckpointRow {
        let _entered = runtime().enter();
        let address = Address::parse(&self.url).unwrap();
        CheckpointRow::new(address, SchemaName::default(), RELAY)
    }

    fn row_with_genesis(&self) -> CheckpointRow {
        let mut row = self.row();
        assert_eq!(row.write_genesis(&checkpoint(0)), Ok(true));
        row
    }
}

fn checkpoint(sequence: u64) -> Checkpoint {
    Checkpoint {
        relay: RELAY.into(),
        system_id: SystemId(1),
        timeline: TimelineId(1),
        timeline_history: TimelineHistory::default(),
        frontier: Frontier::at(Lsn::new(1000 + sequence)),
        last: None,
        stuck_writes: 0,
        publication_fingerprint: "f".into(),
        sequence,
        written_at: Timestamp::default(),
    }
}

fn is_fenced(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Fenced { .. })
}

#[test]
fn a_checkpoint_goes_over_the_one_before_and_over_no_other() {
    let database = Database::with_relay();
    let mut row = database.row_with_genesis();
    database.claim(1);
    assert_eq!(row.acquire(1), Ok(Some(checkpoint(0))));
    assert_eq!(row.write(&checkpoint(1)), Outcome::Durable);
    assert!(is_fenced(&row.write(&checkpoint(3))), "a gap");
    assert_eq!(row.write(&checkpoint(2)), Outcome::Durable);
    assert!(is_fenced(&row.write(&checkpoint(1))), "back");
    // The first answer was lost.
    assert_eq!(row.write(&checkpoint(2)), Outcome::Durable);
    let other = Checkpoint {
        frontier: Frontier::at(Lsn::new(7)),
        ..checkpoint(2)
    };
    assert!(is_fenced(&row.write(&other)), "another of that number");
    assert_eq!(row.peek(), Ok(Some(checkpoint(2))));
}

#[test]
fn of_two_holders_the_one_with_the_newer_epoch_writes() {
    let database = Database::with_relay();
    let mut old = database.row_with_genesis();
    database.claim(1);
    old.acquire(1).unwrap();
    assert_eq!(old.write(&checkpoint(1)), Outcome::Durable);
    let mut new = database.row();
    database.claim(2);
    assert_eq!(new.acquire(2), Ok(Some(checkpoint(1))));
    assert!(is_fenced(&old.write(&checkpoint(2))));
    assert_eq!(new.write(&checkpoint(2)), Outcome::Durable);
    assert!(is_fenced(&old.write(&checkpoint(2))), "even the same one");
}

#[test]
fn without_the_right_nothing_is_written() {
    let database = Database::with_relay();
    let mut row = database.row_with_genesis();
    database.claim(1);
    let refused = row.write(&checkpoint(1));
    assert!(matches!(refused, Outcome::Indefinite { .. }), "{refused:?}");
    row.acquire(1).unwrap();
    row.release();
    let refused = row.write(&checkpoint(1));
    assert!(matches!(refused, Outcome::Indefinite { .. }), "{refused:?}");
    assert_eq!(row.peek(), Ok(Some(checkpoint(0))));
}

#[test]
fn the_first_checkpoint_goes_over_none_that_a_relay_wrote() {
    let database = Database::with_relay();
    let mut row = database.row_with_genesis();
    assert_eq!(row.write_genesis(&checkpoint(0)), Ok(true), "init again");
    database.claim(1);
    row.acquire(1).unwrap();
    assert_eq!(row.write(&checkpoint(1)), Outcome::Durable);
    assert_eq!(row.write_genesis(&checkpoint(0)), Ok(false));
    assert_eq!(row.peek(), Ok(Some(checkpoint(1))));
}

#[test]
fn what_cannot_be_read_is_named_and_never_taken_for_none() {
    let database = Database::with_relay();
    let mut row = database.row_with_genesis();
    database.execute("update outbox.relay set checkpoint = replace(checkpoint, '0', '1')");
    let error = row.peek().unwrap_err();
    assert!(
        matches!(error, AcquireError::CheckpointCorrupt(_)),
        "{error}"
    );
    database.execute("update outbox.relay set checkpoint = null, checkpoint_sequence = null");
    assert_eq!(row.peek(), Ok(None));
    database.execute("alter table outbox.relay drop column checkpoint cascade");
    let error = row.peek().unwrap_err();
    assert!(matches!(error, AcquireError::Fatal(_)), "{error}");
    assert!(error.to_string().contains("outbox-sidecar init"), "{error}");
}

#[test]
fn a_connection_that_was_cut_is_made_anew() {
    let database = Database::with_relay();
    let mut row = database.row_with_genesis();
    database.claim(1);
    row.acquire(1).unwrap();
    database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()",
    );
    let mut outcome = row.write(&checkpoint(1));
    while let Outcome::Retry { .. } = outcome {
        outcome = row.write(&checkpoint(1));
    }
    assert_eq!(outcome, Outcome::Durable);
}
