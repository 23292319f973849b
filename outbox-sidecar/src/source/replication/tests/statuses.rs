use std::cell::RefCell;
use std::collections::HashSet;

use outbox_core::Lsn;
use outbox_core::relay::StreamEvent;

use super::outbox::{Outbox, SOON};

async fn wal_end(outbox: &Outbox) -> Lsn {
    let sql = "select pg_current_wal_insert_lsn()::text";
    let row = outbox.client.query_one(sql, &[]).await.unwrap();
    row.get::<_, String>(0).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slot_moves_only_to_what_was_confirmed() {
    let server = testbed::shared_postgres().await.unwrap();
    let outbox = Outbox::new(server).await;
    let insert = "insert into outbox.message (destination, type) values ('d', 't')";
    outbox.run(insert).await;
    outbox.run(insert).await;
    let mut stream = outbox.stream().await;
    let (_, first_end) = stream.rows(1).await;
    let _ = stream.rows(1).await;
    assert_eq!(outbox.confirmed_flush().await, outbox.consistent_point);
    stream.confirmed.confirm(first_end);
    testbed::wait::until("the first is confirmed", SOON, async || {
        outbox.confirmed_flush().await == first_end
    })
    .await
    .unwrap();
    stream.close().await;
    // The second was received and never confirmed: it comes again.
    let mut stream = outbox.stream().await;
    let (rows, end) = stream.rows(1).await;
    assert_eq!(rows.len(), 1);
    // The last status counts, even when it is the goodbye.
    stream.confirmed.confirm(end);
    stream.close().await;
    assert_eq!(outbox.confirmed_flush().await, end);
    outbox.drop_slot().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_go_on_while_nobody_takes_what_was_read() {
    let server = testbed::shared_postgres().await.unwrap();
    let outbox = Outbox::new(server).await;
    outbox
        .run(
            "insert into outbox.message (destination, type, payload) \
             select 'd', 't', sha512(n::text::bytea) from generate_series(1, 100000) n",
        )
        .await;
    let mut stream = outbox.stream().await;
    // Longer than the server's own patience: more answers than fit into it.
    let sql = "select reply_time::text from pg_stat_replication \
               where application_name = 'outbox-sidecar/test' and pid = \
                   (select active_pid from pg_replication_slots where slot_name = $1)";
    let replies = RefCell::new(HashSet::new());
    testbed::wait::until("eight statuses", SOON, async || {
        let row = outbox.client.query_one(sql, &[&outbox.name]).await.unwrap();
        let mut replies = replies.borrow_mut();
        replies.insert(row.get::<_, Option<String>>(0));
        replies.len() >= 8
    })
    .await
    .unwrap();
    let (rows, _) = stream.rows(100_000).await;
    assert_eq!(rows.len(), 100_000);
    stream.close().await;
    outbox.drop_slot().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_for_keepalives_follow_a_busy_neighbour() {
    let server = testbed::shared_postgres().await.unwrap();
    let outbox = Outbox::new(server).await;
    let mut stream = outbox.stream().await;
    stream.confirmed.ask_for_keepalive(true);
    outbox
        .run("create table neighbour as select n, sha512(n::text::bytea) from generate_series(1, 50000) n")
        .await;
    let target = wal_end(&outbox).await;
    loop {
        if let Some(StreamEvent::Keepalive { wal_end, .. }) = stream.next().await
            && wal_end >= target
        {
            break;
        }
    }
    stream.close().await;
    outbox.drop_slot().await;
}
