use bytes::Bytes;
use outbox_core::relay::StreamEvent;
use outbox_core::{MessageId, OutboxRow, Timestamp};
use testbed::PostgresServer;

use super::outbox::Outbox;

/// The whole table as SQL shows it, in the order of insertion.
async fn table(outbox: &Outbox) -> Vec<OutboxRow> {
    let sql = "select id, destination, key, type, content_type, payload, headers::text,
                      (extract(epoch from created_at) * 1000000)::int8
               from outbox.message order by (headers ->> 'n')::int8";
    let rows = outbox.client.query(sql, &[]).await.unwrap();
    rows.into_iter()
        .map(|row| OutboxRow {
            id: MessageId::from(row.get::<_, uuid::Uuid>(0)),
            destination: row.get::<_, String>(1).into(),
            key: row.get::<_, Option<String>>(2).map(Into::into),
            message_type: row.get::<_, String>(3).into(),
            content_type: row.get::<_, String>(4).into(),
            payload: row.get::<_, Option<Vec<u8>>>(5).map(Bytes::from),
            headers: row.get::<_, String>(6).into(),
            created_at: Timestamp::from_unix_us(row.get(7)),
        })
        .collect()
}

/// Rows in every shape that a transaction can write them.
async fn write_history(outbox: &Outbox) {
    let insert = |n: usize, rest: &str| {
        format!(
            "insert into outbox.message (destination, key, type, payload, headers) \
             values ('d', {rest}, jsonb_build_object('n', '{n}'));"
        )
    };
    outbox.run(&insert(1, "null, 'A', null")).await;
    outbox.run(&insert(2, r"'ключ''\', '💡', '\x00ff'")).await;
    outbox
        .run(&format!(
            "begin; {} savepoint s; {} rollback to s; {} commit",
            insert(3, "'k', 'A', ''"),
            insert(999, "'k', 'never', ''"),
            insert(4, "'k', 'B', ''"),
        ))
        .await;
    let rolled_back = format!("begin; {} rollback", insert(998, "'k', 'never', ''"));
    outbox.run(&rolled_back).await;
    outbox
        .run(
            "insert into outbox.message (destination, key, type, payload, headers) \
             select 'bulk', 'k' || n % 7, 'C', sha512(n::text::bytea), \
                    jsonb_build_object('n', n::text) from generate_series(5, 3000) n",
        )
        .await;
    // A value too large for a page: it comes whole, not as a pointer.
    outbox
        .run(
            "insert into outbox.message (destination, type, payload, headers) \
             select 'large', 'D', string_agg(sha512(n::text::bytea), ''::bytea), '{\"n\": \"3001\"}' \
             from generate_series(1, 20000) n",
        )
        .await;
    // Another column in mid-stream.
    outbox
        .run("alter table outbox.message add column tenant text default 'x'")
        .await;
    outbox.run(&insert(3002, "'k', 'E', 'after'")).await;
    // A day without a partition goes to the default one.
    outbox
        .run(
            "insert into outbox.message (destination, type, headers, created_at) \
             values ('d', 'F', '{\"n\": \"3003\"}', '1999-12-31 23:59:59.999999+00')",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_committed_row_arrives_as_sql_shows_it() {
    let server = testbed::shared_postgres().await.unwrap();
    let outbox = Outbox::new(server).await;
    write_history(&outbox).await;
    let mut stream = outbox.stream().await;
    let (rows, _) = stream.rows(3003).await;
    let expected = table(&outbox).await;
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    stream.close().await;
    outbox.drop_slot().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_carries_the_same() {
    let server = PostgresServer::start().await.unwrap();
    let outbox = Outbox::new(server.address()).await;
    let database = outbox.url().rsplit_once('/').unwrap().1.to_owned();
    write_history(&outbox).await;
    let url = server.socket_url(server.address().superuser(), &database);
    let connection = super::outbox::connect(&url).await.unwrap();
    assert!(connection.wire.is_unix());
    let mut stream = outbox.stream_on(connection).await;
    let (rows, _) = stream.rows(3003).await;
    assert_eq!(rows, table(&outbox).await);
    stream.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_come_whole_and_in_commit_order() {
    let server = testbed::shared_postgres().await.unwrap();
    let outbox = Outbox::new(server).await;
    for _ in 0..50 {
        outbox
            .run(
                "begin; \
                 insert into outbox.message (destination, type) values ('d', 'a'), ('d', 'b'); \
                 select pg_logical_emit_message(true, 'outbox.request.x', 'x'); \
                 select pg_logical_emit_message(true, 'others', 'x'); \
                 select pg_logical_emit_message(false, 'outside', 'x'); commit",
            )
            .await;
    }
    let mut stream = outbox.stream().await;
    let mut seen = Vec::new();
    let mut open = None;
    let mut last_end = outbox.consistent_point;
    while seen.len() < 50 {
        match stream.next().await.unwrap() {
            StreamEvent::Begin { commit_lsn, .. } => {
                assert!(open.is_none() && commit_lsn >= last_end);
                open = Some((commit_lsn, 0, 0));
            }
            StreamEvent::Row(_) => open.as_mut().unwrap().1 += 1,
            StreamEvent::LogicalMessage { prefix, content } => {
                assert_eq!((&*prefix, &*content), ("outbox.request.x", &b"x"[..]));
                open.as_mut().unwrap().2 += 1;
            }
            StreamEvent::Commit {
                commit_lsn,
                end_lsn,
            } => {
                let transaction = open.take().unwrap();
                assert!(commit_lsn == transaction.0 && end_lsn > commit_lsn);
                last_end = end_lsn;
                if transaction.1 > 0 {
                    assert_eq!((transaction.1, transaction.2), (2, 1));
                    seen.push(commit_lsn);
                }
            }
            StreamEvent::Keepalive { .. } => assert!(open.is_none()),
        }
    }
    stream.close().await;
    outbox.drop_slot().await;
}
