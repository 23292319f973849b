//! What the table of messages that are set aside does not allow.

use sqlx::AssertSqlSafe;

use crate::database::Database;

#[tokio::test]
async fn what_waits_can_neither_be_deleted_nor_truncated_away() {
    let database = Database::migrated().await;
    let connection = &mut database.sqlx().await;
    let aside = "insert into outbox.parked (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id,
                                            destination, type, content_type, headers, created_at, reason,
                                            error, attempts, blocks_key)
                 select 'r', '1', 1, '0/1', n, 1, now(), gen_random_uuid(), 'd', 't', 'c', '{}', now(), 'r',
                        '', 1, false
                 from generate_series(1, 2) as n";
    sqlx::raw_sql(aside)
        .execute(&mut *connection)
        .await
        .unwrap();
    for refused in [
        "delete from outbox.parked where index = 1",
        "truncate outbox.parked",
        "truncate outbox.request cascade",
    ] {
        let answer = sqlx::raw_sql(AssertSqlSafe(refused)).execute(&mut *connection);
        let error = answer.await.unwrap_err();
        let error = error.as_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("23001"), "{refused}: {error}");
        assert!(error.message().contains("messages that wait"), "{error}");
    }
    for allowed in [
        "with asked as (insert into outbox.request (relay, kind, chosen) values ('r', 'skip', 2)
                        returning id)
         update outbox.parked set state = 'skipped', request = asked.id, request_index = index from asked",
        "delete from outbox.parked where index = 1",
        "truncate outbox.parked",
    ] {
        let answer = sqlx::raw_sql(AssertSqlSafe(allowed)).execute(&mut *connection);
        answer.await.unwrap();
    }
}
