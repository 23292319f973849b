//! The statements on a real server.

use outbox_core::relay::{Claim, EarlierEnds, EarlierTries, FailureKind, TriedBatch};
use outbox_core::{Frontier, Lsn, MessageId, Position, SystemId};
use uuid::Uuid;

use super::super::claim::Writer;
use super::super::stuck_database::Database;

const SYSTEM_ID: SystemId = SystemId(7_400_000_000_000_000_000);

/// One of the processes of a relay.
const fn run(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn at(lsn: u64) -> Frontier {
    Frontier::at(Lsn::new(lsn))
}

fn message(number: u128) -> TriedBatch {
    TriedBatch {
        position: Position {
            commit_lsn: Lsn::new(500),
            index: 3,
        },
        id: MessageId::from_bytes(number.to_be_bytes()),
        messages: 1,
    }
}

fn tried(number: u128, count: u32) -> Option<EarlierTries> {
    Some(EarlierTries {
        batch: message(number),
        count,
    })
}

impl Database {
    fn process(&self, number: u128) -> Writer<'_> {
        Writer {
            run: run(number),
            ..self.writer()
        }
    }

    async fn begin(&self, number: u128, lsn: u64) -> EarlierEnds {
        self.begin_in(SYSTEM_ID, number, lsn).await
    }

    async fn begin_in(&self, system_id: SystemId, number: u128, lsn: u64) -> EarlierEnds {
        let writer = self.process(number);
        // One checkpoint for each 10 bytes.
        let from = (at(lsn), lsn / 10);
        let begun = writer.begin_here(&self.client, self.claim, system_id, from);
        begun.await.unwrap()
    }

    async fn tries(&self, number: u128, of: u128) {
        let writer = self.process(number);
        let noted = writer.try_batch(&self.client, self.claim, message(of));
        noted.await.unwrap();
    }

    /// A claim of another epoch.
    fn superseded(&self) -> Claim {
        Claim {
            epoch: self.claim.epoch + 1,
            ..self.claim
        }
    }
}

#[tokio::test]
async fn processes_that_end_without_a_word_at_one_place_or_soon_after_are_counted() {
    let database = Database::new().await;
    assert_eq!(database.begin(1, 100).await, EarlierEnds::default());
    assert_eq!(database.begin(2, 100).await.unclean, 1);
    assert_eq!(database.begin(3, 100).await.unclean, 2, "at one place");
    assert_eq!(
        database.begin(4, 200).await.unclean,
        3,
        "ten checkpoints later"
    );
    assert_eq!(database.begin(5, 310).await.unclean, 1, "eleven later");
}

#[tokio::test]
async fn a_process_that_becomes_active_again_has_not_ended() {
    let database = Database::new().await;
    database.begin(1, 100).await;
    database.begin(2, 100).await;
    assert_eq!(database.begin(2, 100).await.unclean, 1);
    assert_eq!(database.begin(2, 100).await.unclean, 1);
    // Further on, it has got past what ended the one before.
    assert_eq!(database.begin(2, 210).await.unclean, 0);
    assert_eq!(database.begin(3, 210).await.unclean, 1);
}

#[tokio::test]
async fn who_never_began_says_nothing_of_the_end_of_another() {
    let database = Database::new().await;
    database.begin(1, 100).await;
    let writer = database.process(2);
    let ended = writer.end_here(&database.client, database.claim, true);
    assert!(!ended.await.unwrap());
    assert_eq!(database.begin(3, 100).await.unclean, 1);
}

#[tokio::test]
async fn a_process_that_says_that_it_ends_is_not_counted_nor_those_before_it() {
    let database = Database::new().await;
    database.begin(1, 100).await;
    database.begin(2, 100).await;
    let writer = database.process(2);
    let ended = writer.end_here(&database.client, database.claim, false);
    assert!(ended.await.unwrap());
    assert_eq!(database.begin(3, 100).await.unclean, 0);
}

#[tokio::test]
async fn the_end_of_a_holder_that_was_superseded_changes_nothing() {
    let database = Database::new().await;
    database.begin(1, 100).await;
    let writer = database.process(1);
    let ended = writer.end_here(&database.client, database.superseded(), true);
    assert!(!ended.await.unwrap());
    assert_eq!(database.begin(2, 100).await.unclean, 1);
    let claim = database.superseded();
    let writer = database.process(1);
    let noted = writer.try_batch(&database.client, claim, message(1)).await;
    assert_eq!(noted.unwrap_err().kind, FailureKind::ClaimSuperseded);
    let begun = writer.begin_here(&database.client, claim, SYSTEM_ID, (at(1), 0));
    let refused = begun.await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::ClaimSuperseded);
}

#[tokio::test]
async fn a_message_is_known_with_the_processes_that_tried_it_and_were_not_heard_of_since() {
    let database = Database::new().await;
    database.begin(1, 100).await;
    database.tries(1, 9).await;
    database.tries(1, 9).await;
    assert_eq!(database.begin(2, 100).await.tried, tried(9, 1));
    database.tries(2, 9).await;
    assert_eq!(database.begin(3, 100).await.tried, tried(9, 2));
    // One of them lives after all, and is not the holder any more.
    let lives = database.process(1);
    lives.survive(&database.client).await.unwrap();
    assert_eq!(database.begin(3, 100).await.tried, tried(9, 1));
    // Its own it takes back by beginning again; of another message all is forgotten.
    database.tries(3, 9).await;
    assert_eq!(database.begin(3, 100).await.tried, tried(9, 1));
    database.tries(3, 10).await;
    assert_eq!(database.begin(4, 100).await.tried, tried(10, 1));
}

#[tokio::test]
async fn an_end_takes_back_what_the_process_tried_and_a_halt_all_of_it() {
    let database = Database::new().await;
    for number in [1, 2, 3] {
        database.begin(number, 100).await;
        database.tries(number, 9).await;
    }
    let writer = database.process(3);
    let ended = writer.end_here(&database.client, database.claim, false);
    ended.await.unwrap();
    assert_eq!(database.begin(4, 100).await.tried, tried(9, 2));
    let writer = database.process(4);
    let ended = writer.end_here(&database.client, database.claim, true);
    ended.await.unwrap();
    assert_eq!(database.begin(5, 100).await.tried, tried(9, 0));
}

#[tokio::test]
async fn what_was_noted_in_another_cluster_means_nothing() {
    let database = Database::new().await;
    for number in [1, 2] {
        database.begin(number, 100).await;
        database.tries(number, 9).await;
    }
    let ends = database.begin_in(SystemId(8), 3, 100).await;
    assert_eq!((ends.unclean, ends.tried), (0, tried(9, 0)));
}
