//! Publications that are gone, were made anew, or are not the one that the relay was set up with.

mod altered;

use testbed::PostgresServer;

use super::{PUBLISHED, expect, published, stops, with_password};
use crate::scenario::DEADLINE;

#[tokio::test]
async fn a_publication_that_is_dropped_under_a_running_relay() {
    let (scenario, client) = published().await;
    let relay = scenario.start_active().await;
    scenario.drained(&client).await;
    client
        .batch_execute(&format!("drop publication {}", scenario.slot()))
        .await
        .unwrap();
    scenario.enqueue(&client, 100..101).await;
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(4));
    let said = relay.stderr().unwrap();
    // The stream says so, or the look at it every few seconds, which comes first now and then.
    assert!(said.contains("publication"), "{said}");
    assert_eq!(scenario.records().await.len(), PUBLISHED + 1);
}

/// What was committed while it was away is decoded with the catalogs of that time. PostgreSQL 18 only
/// warns of it, and would leave the rows out.
#[tokio::test]
async fn a_publication_that_was_made_anew_stops_the_relay_before_what_it_missed() {
    let (scenario, client) = published().await;
    let slot = scenario.slot();
    let run = async |sql: &str| {
        client
            .batch_execute(&sql.replace("SLOT", &slot))
            .await
            .unwrap()
    };
    run("drop publication SLOT").await;
    let position = "select pg_current_wal_insert_lsn()::text";
    let missed: String = client.query_one(position, &[]).await.unwrap().get(0);
    scenario.enqueue(&client, 100..103).await;
    run("create publication SLOT for table outbox.message \
         with (publish = 'insert', publish_via_partition_root = true)")
    .await;
    scenario.enqueue(&client, 103..106).await;
    for _ in 0..2 {
        // The stream says so, or the look at the catalogs, whichever comes first.
        expect(&scenario.run_to_end().await, 4, &["publication"]);
        // What was committed before it was dropped may be out, nothing else.
        let numbers = scenario.numbers().await;
        assert!(
            numbers.iter().all(|number| *number <= PUBLISHED),
            "{numbers:?}"
        );
        assert!(scenario.confirmed(&client).await <= missed.parse().unwrap());
    }
}

#[tokio::test]
async fn a_configuration_that_the_publication_was_not_made_for_is_refused() {
    let (scenario, _client) = published().await;
    let configuration = scenario.configuration();
    let changed = configuration.replace("[postgres]", "destinations = [\"orders\"]\n[postgres]");
    scenario.configure(&changed);
    let texts = [
        "the publication was made for destinations [\"*\"] and shard 0/1, the \
                  configuration says [\"orders\"] and 0/1",
    ];
    stops(
        &scenario,
        2,
        &texts,
        ("set-up", "the configuration says [\"orders\"]"),
    )
    .await;
    let ran = scenario.command(&["init"], &[]).await;
    expect(
        &ran,
        2,
        &["was made for destinations [\"*\"]", "[\"orders\"]"],
    );
}

#[tokio::test]
async fn a_missing_or_altered_publication_is_refused() {
    let (scenario, client) = published().await;
    let slot = scenario.slot();
    let sql = "alter publication {} set table outbox.message where (destination = 'orders')";
    client
        .batch_execute(&sql.replace("{}", &scenario.slot()))
        .await
        .unwrap();
    let texts = ["the publication was altered since the checkpoint was written"];
    stops(&scenario, 2, &texts, ("publication", "altered")).await;

    let sql = format!(
        "drop publication {slot}; create publication {slot} for table outbox.message \
         (id, destination, key, type, content_type, payload, created_at) \
         with (publish = 'insert', publish_via_partition_root = true)"
    );
    client.batch_execute(&sql).await.unwrap();
    let text = "it leaves out the column headers";
    stops(&scenario, 2, &[&slot, text], ("publication", text)).await;

    client
        .batch_execute(&format!("drop publication {slot}"))
        .await
        .unwrap();
    let texts = ["the publication does not exist"];
    stops(&scenario, 4, &texts, ("publication", "does not exist")).await;
}

#[tokio::test]
async fn a_role_that_may_not_drop_the_publication_drops_nothing() {
    let postgres = PostgresServer::start().await.unwrap();
    let (scenario, client) = with_password(&postgres).await;
    let admin = scenario.database_url.clone();
    let refused = scenario.command(&["remove", "--yes"], &[]).await;
    expect(&refused, 1, &["owner of publication", "--admin-url"]);
    scenario.check(0).await;
    let command = ["remove", "--yes", "--admin-url", &admin];
    let removed = scenario.command(&command, &[]).await;
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    let left = "select (select count(*) from pg_publication) + \
                (select count(*) from pg_replication_slots) + \
                (select count(*) from outbox.relay)";
    let left: i64 = client.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}
