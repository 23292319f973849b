use std::time::{Duration, Instant};

use outbox_core::schema;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::database::Database;

/// What `maintain_partitions` answered.
#[derive(Debug, PartialEq)]
struct Maintained {
    created: i32,
    ahead: i32,
    moved: i64,
    left: i64,
}

async fn maintain(connection: &mut PgConnection, arguments: &str) -> Maintained {
    let row = sqlx::query(AssertSqlSafe(format!(
        "select * from outbox.maintain_partitions({arguments})"
    )))
    .fetch_one(connection)
    .await
    .unwrap();
    Maintained {
        created: row.get("partitions_created"),
        ahead: row.get("partitions_ahead"),
        moved: row.get("default_rows_moved"),
        left: row.get("default_rows_left"),
    }
}

async fn insert(connection: &mut PgConnection, created_at: &str, rows: i32) {
    sqlx::query(AssertSqlSafe(format!(
        "insert into outbox.message (destination, type, created_at) \
         select 'd', 't', {created_at} from generate_series(1, {rows})"
    )))
    .execute(connection)
    .await
    .unwrap();
}

async fn rows_in(connection: &mut PgConnection, table: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
        .fetch_one(connection)
        .await
        .unwrap()
}

/// How many rows a relay would receive since the last call.
async fn published(connection: &mut PgConnection, slot: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!(
        "select count(*) from pg_logical_slot_get_binary_changes(\
             '{slot}', null, null, 'proto_version', '1', 'publication_names', 'p') \
         where get_byte(data, 0) = ascii('I')"
    )))
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn partitions_are_made_ahead() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let nothing = Maintained {
        created: 0,
        ahead: 7,
        moved: 0,
        left: 0,
    };
    assert_eq!(maintain(&mut connection, "").await, nothing);
    let more = Maintained {
        created: 3,
        ahead: 10,
        moved: 0,
        left: 0,
    };
    assert_eq!(maintain(&mut connection, "10").await, more);
    insert(&mut connection, "now() + interval '10 days'", 1).await;
    assert_eq!(rows_in(&mut connection, "outbox.message_default").await, 0);
}

#[tokio::test]
async fn caught_rows_move_without_being_published_again() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let slot = database.name.clone();
    sqlx::raw_sql(
        "create publication p for table outbox.message \
         with (publish = 'insert', publish_via_partition_root = true)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query("select pg_create_logical_replication_slot($1, 'pgoutput')")
        .bind(&slot)
        .execute(&mut connection)
        .await
        .unwrap();

    insert(&mut connection, "now() - interval '3 days'", 5).await;
    insert(&mut connection, "now() + interval '40 days'", 2).await;
    insert(&mut connection, "now()", 1).await;
    assert_eq!(rows_in(&mut connection, "outbox.message_default").await, 7);

    let expected = Maintained {
        created: 2,
        ahead: 7,
        moved: 7,
        left: 0,
    };
    assert_eq!(maintain(&mut connection, "").await, expected);
    insert(&mut connection, "now() - interval '3 days'", 1).await;

    // Enqueued 9, before and after the move, in one stream: the moves add none.
    assert_eq!(published(&mut connection, &slot).await, 9);
    assert_eq!(rows_in(&mut connection, "outbox.message").await, 9);
    assert_eq!(rows_in(&mut connection, "outbox.message_default").await, 0);

    // A transaction of the caller around it changes nothing.
    insert(&mut connection, "now() - interval '5 days'", 1).await;
    let mut tx = connection.begin().await.unwrap();
    insert(&mut tx, "now()", 1).await;
    maintain(&mut tx, "").await;
    insert(&mut tx, "now() - interval '5 days'", 1).await;
    tx.commit().await.unwrap();
    assert_eq!(published(&mut connection, &slot).await, 3);
    assert_eq!(rows_in(&mut connection, "outbox.message_default").await, 0);

    sqlx::query("select pg_drop_replication_slot($1)")
        .bind(&slot)
        .execute(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn too_many_caught_rows_are_left_and_counted() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    insert(&mut connection, "now() - interval '2 days'", 4).await;
    insert(&mut connection, "now() - interval '3 days'", 6).await;
    let some = Maintained {
        created: 1,
        ahead: 7,
        moved: 4,
        left: 6,
    };
    assert_eq!(maintain(&mut connection, "7, 5").await, some);
    let rest = Maintained {
        created: 1,
        ahead: 7,
        moved: 6,
        left: 0,
    };
    assert_eq!(maintain(&mut connection, "7, 6").await, rest);
}

#[tokio::test]
async fn enqueues_go_on_while_partitions_are_made() {
    let database = Database::migrated().await;
    let mut enqueuer = database.sqlx().await;
    let mut maintainer = database.sqlx().await;
    // Its locks are held until the end of its transaction.
    let mut making = maintainer.begin().await.unwrap();
    assert_eq!(maintain(&mut making, "20").await.created, 13);
    sqlx::query("set lock_timeout = '1ms'")
        .execute(&mut enqueuer)
        .await
        .unwrap();
    insert(&mut enqueuer, "now()", 1).await;
    making.commit().await.unwrap();
}

#[tokio::test]
async fn busy_default_partition_delays_only_the_partitions() {
    let database = Database::migrated().await;
    let mut enqueuer = database.sqlx().await;
    let mut maintainer = database.sqlx().await;
    let mut business = enqueuer.begin().await.unwrap();
    insert(&mut business, "now() - interval '2 days'", 1).await;
    let postponed = Maintained {
        created: 0,
        ahead: 7,
        moved: 0,
        left: 0,
    };
    assert_eq!(maintain(&mut maintainer, "8").await, postponed);
    business.commit().await.unwrap();
    let made = Maintained {
        created: 2,
        ahead: 8,
        moved: 1,
        left: 0,
    };
    assert_eq!(maintain(&mut maintainer, "8").await, made);
}

/// PostgreSQL refuses a row that is on its way into the default partition when the partition it
/// belongs to is attached meanwhile.
#[tokio::test]
async fn enqueue_that_meets_the_making_of_todays_partition_succeeds() {
    let database = Database::migrated().await;
    let mut maintainer = database.sqlx().await;
    sqlx::raw_sql(
        "do $$ begin execute format('drop table outbox.message_%s', \
             to_char(now() at time zone 'UTC', 'YYYYMMDD')); end $$",
    )
    .execute(&mut maintainer)
    .await
    .unwrap();
    let mut enqueuer = database.sqlx().await;
    insert(&mut enqueuer, "now()", 1).await;
    assert_eq!(rows_in(&mut enqueuer, "outbox.message_default").await, 1);
    let enqueuer_pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut enqueuer)
        .await
        .unwrap();

    let mut making = maintainer.begin().await.unwrap();
    let made = Maintained {
        created: 1,
        ahead: 7,
        moved: 1,
        left: 0,
    };
    assert_eq!(maintain(&mut making, "").await, made);
    let enqueued = tokio::spawn(async move {
        insert(&mut enqueuer, "now()", 1).await;
        enqueuer
    });
    let mut observer = database.sqlx().await;
    let waits = "select exists (select from pg_stat_activity \
                 where pid = $1 and wait_event_type = 'Lock')";
    let deadline = Instant::now() + Duration::from_secs(30);
    while !sqlx::query_scalar::<_, bool>(waits)
        .bind(enqueuer_pid)
        .fetch_one(&mut observer)
        .await
        .unwrap()
    {
        let meets = !enqueued.is_finished() && Instant::now() < deadline;
        assert!(meets, "the enqueue did not meet the lock");
        tokio::task::yield_now().await;
    }
    making.commit().await.unwrap();
    let mut enqueuer = enqueued.await.unwrap();
    assert_eq!(rows_in(&mut enqueuer, "outbox.message_default").await, 0);
    assert_eq!(rows_in(&mut enqueuer, "outbox.message").await, 2);
}

#[tokio::test]
async fn foreign_ranges_and_odd_dates_stop_nothing() {
    let database = Database::create().await;
    let mut connection = database.sqlx().await;
    for step in schema::steps(&schema::SchemaName::default()) {
        if step.title != "partitions ahead" {
            sqlx::raw_sql(AssertSqlSafe(step.sql))
                .execute(&mut connection)
                .await
                .unwrap();
        }
    }
    // An operator's own partition over tomorrow and the day after (UTC).
    sqlx::raw_sql(
        "do $$ begin execute format( \
             'create table outbox.mine partition of outbox.message for values from (%L) to (%L)', \
             date_trunc('day', now(), 'UTC') + interval '24 hours', \
             date_trunc('day', now(), 'UTC') + interval '72 hours'); end $$",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    insert(&mut connection, "'infinity'", 1).await;
    insert(&mut connection, "'294276-12-31 12:00+00'", 1).await;
    insert(&mut connection, "'0044-03-15 12:00+00 BC'", 1).await;
    let made = maintain(&mut connection, "").await;
    assert_eq!((made.created, made.moved, made.left), (7, 1, 2), "{made:?}");
}

#[tokio::test]
async fn impossible_arguments_are_refused() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    for arguments in ["-1", "367", "null", "7, -1", "7, null"] {
        let error = sqlx::query(AssertSqlSafe(format!(
            "select * from outbox.maintain_partitions({arguments})"
        )))
        .execute(&mut connection)
        .await
        .unwrap_err();
        let code = error.as_database_error().unwrap().code().unwrap();
        assert_eq!(code, "22023", "{arguments}");
    }
}
