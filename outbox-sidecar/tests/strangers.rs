//! Logical messages of others: every database user may emit some, of any size, and every stream of the
//! database carries them.

use testbed::{KafkaServer, PostgresAddress, PostgresServer, wait};
use tokio_postgres::Client;

use crate::scenario::memory::allocated_kibibytes_max;
use crate::scenario::{DEADLINE, Scenario, connect};

/// Larger than any message of the stream that is accepted.
const ENORMOUS_BYTES: u32 = 270_000_000;
/// More than one read brings.
const LARGE_BYTES: u32 = 300_000;
/// What stands between rows is together far more than the relay may take.
const ROWS: usize = 400;
const MEMORY_KIBIBYTES_MAX: u64 = 64 * 1024;

#[tokio::test]
async fn messages_of_others_cost_no_memory_and_stop_nobody() {
    // Of their own: what is written here would pass through every stream of the shared ones.
    let (postgres, kafka) =
        tokio::try_join!(PostgresServer::start(), KafkaServer::start()).unwrap();
    let scenario = Scenario::new(postgres.address(), kafka.address()).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let stranger = stranger(postgres.address(), &scenario).await;
    let relay = scenario.start_active().await;

    for transactional in [true, false] {
        emit(&stranger, transactional, "x", ENORMOUS_BYTES).await;
    }
    let request = format!("outbox.request.{}", scenario.relay);
    emit(&stranger, true, &request, LARGE_BYTES).await;
    scenario.enqueue(&client, 0..2).await;
    scenario.drained(&client).await;

    // While nothing can be published, rows wait in memory, but not what came between them.
    kafka.freeze().unwrap();
    for number in 2..ROWS + 2 {
        scenario.enqueue(&client, number..number + 1).await;
        emit(&stranger, true, "x", LARGE_BYTES).await;
    }
    everything_is_sent(&client).await;
    kafka.thaw().unwrap();
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..ROWS + 2).collect::<Vec<_>>());
    let peak = allocated_kibibytes_max(relay.pid().unwrap());
    println!("{peak} KiB");
    assert!(peak > 0 && peak <= MEMORY_KIBIBYTES_MAX, "{peak} KiB");
}

/// Somebody who may do nothing but log in.
async fn stranger(postgres: &PostgresAddress, scenario: &Scenario) -> Client {
    let create = "create role stranger login";
    let client = scenario.client().await;
    client.batch_execute(create).await.unwrap();
    let (_, database) = scenario.database_url.rsplit_once('/').unwrap();
    connect(&postgres.url("stranger", database)).await
}

async fn emit(stranger: &Client, transactional: bool, prefix: &str, bytes: u32) {
    let emit = format!(
        "select pg_logical_emit_message({transactional}, '{prefix}', repeat('x', {bytes}))"
    );
    stranger.batch_execute(&emit).await.unwrap();
}

/// Waits until the server has sent what is in its log now, so that it is in the relay or on its way.
async fn everything_is_sent(client: &Client) {
    let end = "select pg_current_wal_flush_lsn()::text";
    let end: String = client.query_one(end, &[]).await.unwrap().get(0);
    let sent = format!("select coalesce(min(sent_lsn) >= '{end}', false) from pg_stat_replication");
    wait::until("everything is sent", DEADLINE, async || {
        client.query_one(&sent, &[]).await.unwrap().get(0)
    })
    .await
    .unwrap();
}
