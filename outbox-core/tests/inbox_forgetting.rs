//! Retention: what is old enough is forgotten, and nothing sooner.

use std::time::Duration;

use outbox_core::inbox::{ForgetError, RETENTION_DEFAULT, RETENTION_MIN};
use outbox_core::{Acceptance, Inbox, MessageId};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::database::Database;

async fn remember(connection: &mut PgConnection, count: i64, age: &str) {
    sqlx::query(AssertSqlSafe(format!(
        "insert into outbox.inbox select 'a', gen_random_uuid(), \
             clock_timestamp() - interval '{age}' from generate_series(1, {count})"
    )))
    .execute(connection)
    .await
    .unwrap();
}

async fn rows(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from outbox.inbox")
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_older_is_forgotten_in_batches() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    remember(&mut connection, 25_000, "16 days").await;
    remember(&mut connection, 100, "14 days 23 hours").await;
    let inbox = Inbox::new();
    let forgotten = inbox.forget(&mut connection, RETENTION_DEFAULT).await;
    assert_eq!(forgotten.unwrap(), 25_000);
    assert_eq!(rows(&mut connection).await, 100);

    let client = database.tokio_postgres().await;
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    assert_eq!(inbox.forget(&client, days(15)).await.unwrap(), 0);
    assert_eq!(inbox.forget(&client, days(14)).await.unwrap(), 100);
    let error = inbox.forget(&client, Duration::MAX).await.unwrap_err();
    assert!(matches!(error, ForgetError::Database { .. }), "{error:?}");
}

#[tokio::test]
async fn nothing_is_forgotten_below_the_floor() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    remember(&mut connection, 1, "59 minutes").await;
    let error = Inbox::new()
        .forget(&mut connection, RETENTION_MIN - Duration::from_nanos(1))
        .await
        .unwrap_err();
    assert!(matches!(error, ForgetError::TooSoon { .. }), "{error:?}");
    for refused in [
        "interval '59 minutes 59.999999 seconds'",
        "interval '-1 day'",
        "null",
        "'1 day', 0",
        "'1 day', null",
    ] {
        let sql = AssertSqlSafe(format!("select outbox.forget_inbox({refused})"));
        let error = sqlx::query(sql)
            .execute(&mut connection)
            .await
            .unwrap_err()
            .into_database_error()
            .unwrap();
        assert_eq!(error.code().unwrap(), "22023", "{refused}: {error}");
    }
    let forgotten = Inbox::new().forget(&mut connection, RETENTION_MIN).await;
    assert_eq!(forgotten.unwrap(), 0);
    assert_eq!(rows(&mut connection).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_forget_at_once_and_each_row_once() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    remember(&mut connection, 40_000, "16 days").await;
    let mut instances = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let client = database.tokio_postgres().await;
        instances.spawn(async move {
            let inbox = Inbox::new();
            inbox.forget(&client, RETENTION_DEFAULT).await.unwrap()
        });
    }
    let forgotten: u64 = instances.join_all().await.into_iter().sum();
    // One who finds the oldest taken by others may leave before they are done, and never deletes
    // what they delete.
    let left = u64::try_from(rows(&mut connection).await).unwrap();
    assert_eq!(forgotten + left, 40_000);
}

#[tokio::test]
async fn forgetting_does_not_hold_up_accepts() {
    let database = Database::migrated().await;
    let mut keeper = database.sqlx().await;
    let mut consumer = database.sqlx().await;
    let inbox = Inbox::new();
    remember(&mut keeper, 10, "16 days").await;
    let mut forgetting = keeper.begin().await.unwrap();
    // In the caller's transaction, since one is open.
    let forgotten = inbox.forget(&mut *forgetting, RETENTION_DEFAULT).await;
    assert_eq!(forgotten.unwrap(), 10);
    let mut tx = consumer.begin().await.unwrap();
    sqlx::query("set local lock_timeout = '1ms'")
        .execute(&mut *tx)
        .await
        .unwrap();
    let answer = inbox.accept(&mut tx, "a", MessageId::generate()).await;
    assert_eq!(answer.unwrap(), Acceptance::Accepted);
    tx.commit().await.unwrap();
    forgetting.rollback().await.unwrap();
    assert_eq!(rows(&mut consumer).await, 11);
}
