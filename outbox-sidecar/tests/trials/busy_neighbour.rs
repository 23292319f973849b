//! A quiet outbox beside a busy table: the slot follows.

use testbed::wait;

use crate::scenario::{DEADLINE, Scenario};

/// Writes so many megabytes of log to another table while the outbox is idle.
pub(crate) async fn busy_neighbour(megabytes: usize) {
    let postgres = testbed::PostgresServer::start().await.unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    scenario.init(&[]).await;
    let _relay = scenario.start_active().await;
    let client = scenario.client().await;
    let slot = format!("outbox_{}", scenario.relay);
    let confirmed = async || -> i64 {
        let sql = "select (confirmed_flush_lsn - '0/0')::int8 from pg_replication_slots \
                   where slot_name = $1";
        client.query_one(sql, &[&slot]).await.unwrap().get(0)
    };
    client
        .batch_execute("create table neighbour (filling text)")
        .await
        .unwrap();
    let mut seen = vec![confirmed().await];
    for _ in 0..megabytes / 10 {
        let sql = "insert into neighbour select repeat('x', 1000) from generate_series(1, 9500)";
        client.batch_execute(sql).await.unwrap();
        seen.push(confirmed().await);
    }
    seen.dedup();
    assert!(
        seen.len() > 2,
        "the slot stood still while the neighbour wrote: {seen:?}"
    );
    wait::until("the slot's lag to fall below 16 MB", DEADLINE, || async {
        let sql = "select pg_current_wal_lsn() - confirmed_flush_lsn < 16e6 \
                   from pg_replication_slots where slot_name = $1";
        client.query_one(sql, &[&slot]).await.unwrap().get(0)
    })
    .await
    .unwrap();
}
