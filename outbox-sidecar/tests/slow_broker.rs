//! A broker that is too slow for a whole batch within a transaction's time.

use serde_json::Value;
use testbed::proxy::TcpProxy;
use testbed::{KafkaServer, Program, wait};
use tokio_postgres::Client;

use crate::scenario::memory::allocated_kibibytes_max;
use crate::scenario::{DEADLINE, Scenario};

/// Rows of one transaction, and what each carries beside its number.
const ROWS: usize = 750;
const FILLER_BYTES: usize = 4000;
/// All rows take more than twice as long as a message may wait for its acknowledgement.
const BYTES_PER_SECOND: u32 = 400_000;
/// A message waits for two thirds of it. A request must not time out before its messages do: so it
/// is small, and at most five are on their way.
const PROPERTIES: &str = "\"transaction.timeout.ms\" = \"4500\"\n\
                          \"socket.timeout.ms\" = \"4000\"\n\
                          \"batch.size\" = \"32768\"\n";

fn halvings(relay: &Program) -> usize {
    let said = relay.stderr().unwrap();
    said.matches("a batch took longer than the broker allows")
        .count()
}

/// Commits rows that are numbered from ten, each with a header of so many bytes, in one transaction.
async fn enqueue_filled(scenario: &Scenario, client: &Client, rows: usize, bytes: usize) {
    let insert = format!(
        "insert into outbox.message (destination, key, type, payload, headers) \
         select '{}', 'k' || n % 7, 'T', convert_to(n::text, 'UTF8'), \
                jsonb_build_object('filler', repeat('x', {bytes})) \
         from generate_series(10, {rows} + 9) n",
        scenario.topic().name
    );
    client.batch_execute(&insert).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_outlives_its_transaction_gets_through_in_halves_each_message_once() {
    let starting = tokio::task::spawn_blocking(TcpProxy::start_without_upstream);
    let proxy = starting.await.unwrap().unwrap();
    let options = KafkaServer::options().proxied_as(proxy.port());
    let kafka = options.start().await.unwrap();
    proxy.set_upstream(&kafka.proxied_upstream());
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::new(postgres, kafka.address()).await;
    let direct = format!("\"{}\"\n", kafka.bootstrap());
    let through_proxy = format!("\"{}\"\n{PROPERTIES}", proxy.address());
    let configuration = scenario.configuration().replace(&direct, &through_proxy);
    scenario.configure(&configuration);
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    assert_eq!(halvings(&relay), 0);

    proxy.limit_bandwidth(BYTES_PER_SECOND);
    enqueue_filled(&scenario, &client, ROWS, FILLER_BYTES).await;
    wait::until("a batch sent in halves", DEADLINE, || async {
        halvings(&relay) > 0
    })
    .await
    .unwrap();
    scenario.drained(&client).await;
    let all = (0..ROWS + 10).collect::<Vec<_>>();
    assert_eq!(scenario.numbers().await, all);
    println!("{} halvings", halvings(&relay));

    // Once the network is fast again nothing remains of it.
    let before = halvings(&relay);
    proxy.limit_bandwidth(0);
    scenario.enqueue(&client, ROWS + 10..ROWS + 20).await;
    scenario.drained(&client).await;
    let all = (0..ROWS + 20).collect::<Vec<_>>();
    assert_eq!(scenario.numbers().await, all);
    assert_eq!(halvings(&relay), before);
    assert_eq!(relay.exit().unwrap(), None);
}

/// Far more than the relay's buffer takes.
const BACKLOG_ROWS: usize = 1500;
const BACKLOG_ROW_BYTES: usize = 40_000;
/// What the relay may hold by default, of messages alone: `limits.buffer_bytes_max`.
const BUFFER_BYTES_MAX: u64 = 16 << 20;
/// The buffer, a batch of 8 MiB with its copy in the client's queue, and what every relay takes.
const MEMORY_KIBIBYTES_MAX: u64 = 96 * 1024;
/// Twice the `wal_sender_timeout` that the relay asks for.
const SILENCE: &str = "8 s";

/// The relay reads no more while its buffer is full: the walsender's socket fills, and what keeps the
/// connection is that statuses still go out.
#[tokio::test]
async fn a_walsender_whose_reader_is_full_is_answered_and_the_relays_memory_stays_bounded() {
    let kafka = KafkaServer::start().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::new(postgres, kafka.address()).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    let walsender = "select active_pid from pg_replication_slots where slot_name = $1";
    let walsender = async || -> Option<i32> {
        let row = client.query_one(walsender, &[&scenario.slot()]).await;
        row.unwrap().get(0)
    };
    let before = walsender().await;

    kafka.freeze().unwrap();
    enqueue_filled(&scenario, &client, BACKLOG_ROWS, BACKLOG_ROW_BYTES).await;
    let full = |status: &Value| status["buffer_bytes"].as_u64() >= Some(BUFFER_BYTES_MAX / 2);
    scenario.status_where("full", full).await;
    // By the server's clock: how long nothing more was taken, and when it last heard of us.
    let now = "select clock_timestamp()::text";
    let since: String = client.query_one(now, &[]).await.unwrap().get(0);
    let heard = format!(
        "select reply_time > $2::text::timestamptz + interval '{SILENCE}' \
         from pg_stat_replication join pg_replication_slots on active_pid = pid where slot_name = $1"
    );
    wait::until(
        "statuses for longer than wal_sender_timeout",
        DEADLINE,
        || async {
            let row = client
                .query_opt(&heard, &[&scenario.slot(), &since])
                .await
                .unwrap();
            row.is_some_and(|row| row.get(0))
        },
    )
    .await
    .unwrap();
    assert_eq!(walsender().await, before, "the connection was kept");
    kafka.thaw().unwrap();
    scenario.drained(&client).await;
    let all = (0..BACKLOG_ROWS + 10).collect::<Vec<_>>();
    assert_eq!(scenario.numbers().await, all);
    let peak = allocated_kibibytes_max(relay.pid().unwrap());
    println!("{peak} KiB");
    assert!(peak > 0 && peak <= MEMORY_KIBIBYTES_MAX, "{peak} KiB");
}
