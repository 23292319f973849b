//! Publications that were altered and put back: what committed in between was left out, and nothing of
//! it shows in the definition.

use serde_json::Value;
use tokio_postgres::Client;

use super::super::{PUBLISHED, expect, published, stops};
use crate::scenario::{DEADLINE, Scenario};

const ALTERED: &str = "the publication was altered since the checkpoint was written";

/// An alteration under which rows are left out, and what takes it back.
type Alteration = (&'static str, &'static str);

const FILTERED: Alteration = (
    "set table outbox.message where (destination = 'elsewhere')",
    "set table outbox.message",
);
const NO_INSERTS: Alteration = ("set (publish = '')", "set (publish = 'insert')");
const DROPPED: Alteration = ("drop table outbox.message", "add table outbox.message");

/// Commits row 100 while the publication is otherwise, and row 101 once it is put back.
async fn alter_and_put_back(scenario: &Scenario, client: &Client, alteration: Alteration) {
    let (altered, put_back) = alteration;
    let alter = async |how: &str| {
        let sql = format!("alter publication {} {how}", scenario.slot());
        client.batch_execute(&sql).await.unwrap();
    };
    alter(altered).await;
    scenario.enqueue(client, 100..101).await;
    alter(put_back).await;
    scenario.enqueue(client, 101..102).await;
}

async fn stops_a_running_relay(alteration: Alteration) {
    let (scenario, client) = published().await;
    let relay = scenario.start_active().await;
    scenario.drained(&client).await;
    alter_and_put_back(&scenario, &client, alteration).await;
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(2));
    let said = relay.stderr().unwrap();
    assert!(said.contains(ALTERED), "{said}");
    scenario.enqueue(&client, 102..103).await;
    scenario.refuses_to_go_on(&client, &[], 2, &[ALTERED]).await;
    let numbers = scenario.numbers().await;
    assert!(
        !numbers.contains(&100) && !numbers.contains(&102),
        "{numbers:?}"
    );
}

#[tokio::test]
async fn a_filter_that_was_there_for_a_moment_stops_a_running_relay() {
    stops_a_running_relay(FILTERED).await;
}

#[tokio::test]
async fn a_publication_that_published_nothing_for_a_moment_stops_a_running_relay() {
    stops_a_running_relay(NO_INSERTS).await;
}

#[tokio::test]
async fn a_table_that_was_not_published_for_a_moment_stops_a_running_relay() {
    stops_a_running_relay(DROPPED).await;
}

#[tokio::test]
async fn what_was_altered_and_put_back_while_the_relay_was_down_is_refused() {
    for alteration in [FILTERED, NO_INSERTS, DROPPED] {
        let (scenario, client) = published().await;
        alter_and_put_back(&scenario, &client, alteration).await;
        stops(&scenario, 2, &[ALTERED], ("publication", "was altered")).await;
        scenario.refuses_to_go_on(&client, &[], 2, &[ALTERED]).await;
    }
}

/// The ids that `verify` misses; it ends with this exit code.
async fn missing(scenario: &Scenario, code: i32) -> Vec<String> {
    let ran = scenario.command(&["verify", "--json"], &[]).await;
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| {
            assert_eq!(finding["kind"], "missing", "{finding}");
            finding["id"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// The way on that docs/command-line.md shows.
#[tokio::test]
async fn an_alteration_is_accepted_and_what_it_left_out_is_found_and_sent() {
    let (scenario, client) = published().await;
    let slot = scenario.slot();
    alter_and_put_back(&scenario, &client, FILTERED).await;
    let said = scenario.init(&[]).await;
    assert!(said.contains("--accept-publication"), "{said}");
    scenario
        .refuses_to_go_on(&client, &[], 2, &["--accept-publication"])
        .await;
    // Nobody accepts what is not put back.
    let narrow = format!("alter publication {slot} {}", FILTERED.0);
    client.batch_execute(&narrow).await.unwrap();
    let refused = scenario
        .command(&["init", "--accept-publication"], &[])
        .await;
    expect(&refused, 2, &["lets other rows through"]);
    let widen = format!("alter publication {slot} {}", FILTERED.1);
    client.batch_execute(&widen).await.unwrap();

    scenario.init(&["--accept-publication"]).await;
    scenario.check(0).await;
    let relay = scenario.start_active().await;
    scenario.drained(&client).await;
    let numbers = scenario.numbers().await;
    assert_eq!(numbers, [(0..=PUBLISHED).collect(), vec![101]].concat());
    let missing_ids = missing(&scenario, 3).await;
    assert_eq!(missing_ids.len(), 1);
    let columns = "id, destination, key, type, content_type, payload, headers, created_at";
    let anew = format!(
        "with taken as (delete from outbox.message where id = any ('{{{}}}') returning {columns}) \
         insert into outbox.message ({columns}) select {columns} from taken order by created_at",
        missing_ids.join(",")
    );
    client.batch_execute(&anew).await.unwrap();
    scenario.drained(&client).await;
    assert_eq!(missing(&scenario, 0).await, Vec::<String>::new());

    // What was accepted once is no licence for the next time.
    drop(relay);
    alter_and_put_back(&scenario, &client, NO_INSERTS).await;
    scenario.refuses_to_go_on(&client, &[], 2, &[ALTERED]).await;
}
