//! A broker that is too slow for a whole batch within a transaction's time.

use testbed::proxy::TcpProxy;
use testbed::{KafkaServer, Program, wait};

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
    let insert = format!(
        "insert into outbox.message (destination, key, type, payload, headers) \
         select '{}', 'k' || n % 7, 'T', convert_to(n::text, 'UTF8'), \
                jsonb_build_object('filler', repeat('x', {FILLER_BYTES})) \
         from generate_series(10, {ROWS} + 9) n",
        scenario.topic().name
    );
    client.batch_execute(&insert).await.unwrap();
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
