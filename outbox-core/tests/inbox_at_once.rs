//! Two transactions that accept one id at the same time.

use std::error::Error;
use std::time::Duration;

use outbox_core::{Acceptance, Inbox, InboxError, MessageId};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, IsolationLevel};

use crate::database::Database;
use Acceptance::{Accepted, Duplicate};

const DEADLINE: Duration = Duration::from_secs(30);
const SERIALIZATION_FAILURE: &str = "40001";

/// Waits until a transaction of this database waits for another one.
async fn until_blocked(observer: &Client) {
    let blocked = async || {
        let sql = "select from pg_stat_activity \
                   where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0";
        !observer.query(sql, &[]).await.unwrap().is_empty()
    };
    let what = "the second transaction waits for the first";
    testbed::wait::until(what, DEADLINE, blocked).await.unwrap();
}

fn code(error: &InboxError) -> String {
    let source = error.source().unwrap();
    let source = source.downcast_ref::<tokio_postgres::Error>().unwrap();
    source.code().unwrap().code().to_owned()
}

/// Accepts `id` in a transaction of its own and commits; an error is its SQLSTATE.
fn accept_apart(
    mut client: Client,
    level: IsolationLevel,
    id: MessageId,
) -> JoinHandle<(Client, Result<Acceptance, String>)> {
    tokio::spawn(async move {
        let tx = client.build_transaction().isolation_level(level);
        let tx = tx.start().await.unwrap();
        let answer = Inbox::new().accept(&tx, "a", id).await;
        match &answer {
            Ok(_) => tx.commit().await.unwrap(),
            Err(_) => tx.rollback().await.unwrap(),
        }
        (client, answer.map_err(|error| code(&error)))
    })
}

#[tokio::test]
async fn the_second_waits_for_what_becomes_of_the_first() {
    let database = Database::migrated().await;
    let observer = database.tokio_postgres().await;
    let mut first = database.tokio_postgres().await;
    let mut second = database.tokio_postgres().await;
    let levels = [
        IsolationLevel::ReadCommitted,
        IsolationLevel::RepeatableRead,
        IsolationLevel::Serializable,
    ];
    for level in levels {
        for commits in [true, false] {
            let id = MessageId::generate();
            let tx = first.transaction().await.unwrap();
            let answer = Inbox::new().accept(&tx, "a", id).await.unwrap();
            assert_eq!(answer, Accepted);
            let waiting = accept_apart(second, level, id);
            until_blocked(&observer).await;
            if commits {
                tx.commit().await.unwrap();
            } else {
                tx.rollback().await.unwrap();
            }
            let (client, answer) = waiting.await.unwrap();
            let expected = match (commits, level) {
                (false, _) => Ok(Accepted),
                (true, IsolationLevel::ReadCommitted) => Ok(Duplicate),
                (true, _) => Err(SERIALIZATION_FAILURE.to_owned()),
            };
            assert_eq!(answer, expected, "commits: {commits}, {level:?}");
            // Once more, as a caller does after a serialization failure.
            let (client, answer) = accept_apart(client, level, id).await.unwrap();
            assert_eq!(answer, Ok(Duplicate), "commits: {commits}, {level:?}");
            second = client;
        }
    }
}

/// The trap of a look before the INSERT: nothing waits, and the snapshot does not show the row.
#[tokio::test]
async fn an_older_snapshot_accepts_nothing_twice() {
    let database = Database::migrated().await;
    let mut first = database.tokio_postgres().await;
    let mut second = database.tokio_postgres().await;
    let inbox = Inbox::new();
    for level in [IsolationLevel::RepeatableRead, IsolationLevel::Serializable] {
        for batch in [false, true] {
            let id = MessageId::generate();
            let old = second.build_transaction().isolation_level(level);
            let old = old.start().await.unwrap();
            old.query_one("select count(*) from outbox.inbox", &[])
                .await
                .unwrap();
            let tx = first.transaction().await.unwrap();
            assert_eq!(inbox.accept(&tx, "a", id).await.unwrap(), Accepted);
            tx.commit().await.unwrap();
            let error = if batch {
                inbox.accept_all(&old, "a", &[id]).await.unwrap_err()
            } else {
                inbox.accept(&old, "a", id).await.unwrap_err()
            };
            assert_eq!(code(&error), SERIALIZATION_FAILURE, "{level:?}");
            old.rollback().await.unwrap();
        }
    }
}

/// Batches that overlap, in opposite orders: one waits for the other, and none is ended for it.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_batches_do_not_deadlock() {
    const CONSUMERS: usize = 4;
    const ROUNDS: usize = 30;
    let database = Database::migrated().await;
    for _ in 0..ROUNDS {
        let mut ids: Vec<MessageId> = (0..200).map(|_| MessageId::generate()).collect();
        let mut instances = tokio::task::JoinSet::new();
        for _ in 0..CONSUMERS {
            ids.reverse();
            ids.rotate_left(50);
            let (ids, mut client) = (ids.clone(), database.tokio_postgres().await);
            instances.spawn(async move {
                let tx = client.transaction().await.unwrap();
                let answers = Inbox::new().accept_all(&tx, "a", &ids).await.unwrap();
                tx.commit().await.unwrap();
                answers.iter().filter(|answer| **answer == Accepted).count()
            });
        }
        let accepted: usize = instances.join_all().await.into_iter().sum();
        assert_eq!(accepted, ids.len());
    }
}
