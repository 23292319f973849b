//! `verify` of a range of positions: what is known of it, and what it says that it cannot know.

use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{counts, enqueue, found, run, verify};
use crate::scenario::Scenario;

/// Where each message stands, by its payload's number.
async fn position(scenario: &Scenario, number: &str) -> String {
    let records = scenario.records().await;
    let is_it = |payload: &[u8]| payload == number.as_bytes();
    let mut records = records.iter();
    let record = records.find(|record| record.payload.as_deref().is_some_and(is_it));
    let position = record.unwrap().header("outbox-position").unwrap();
    position.split_once(':').unwrap().1.to_owned()
}

/// Changes rows behind the relay's back: updates are not published.
async fn change(client: &Client, what: &str, number: &str) -> String {
    let sql = format!(
        "update outbox.message set {what} where payload = convert_to($1, 'UTF8') \
         returning id::text"
    );
    client.query_one(&sql, &[&number]).await.unwrap().get(0)
}

#[tokio::test]
async fn messages_are_judged_by_where_they_stand() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    // Fifty a transaction, 0 to 199.
    enqueue(&scenario, &client, 200).await;
    verify(&scenario, &[], 0).await;
    let (from, to) = (
        position(&scenario, "50").await,
        position(&scenario, "120").await,
    );
    let range = ["--from-position", &from, "--to-position", &to];
    let rows = |report: &Value| report["rows_in_range"].as_u64().unwrap();

    let report = verify(&scenario, &range, 0).await;
    assert_eq!((rows(&report), &report["rows"]), (70, &json!(203)));
    assert_eq!(report["from_position"], json!(from));
    assert_eq!(report["without_row"], 0, "{report:#}");
    // An LSN alone stands for the first message there.
    let lsn = from.split_once(':').unwrap().0;
    let since = verify(&scenario, &["--from-position", lsn], 0).await;
    assert_eq!((rows(&since), &since["to_position"]), (153, &Value::Null));

    // What holds nothing proves nothing.
    for nothing in [
        ["--from-position", "FFFFFFFF/0"],
        ["--from", "2999-01-01T00:00:00Z"],
    ] {
        let ran = run(&scenario, &nothing).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("nothing was compared"), "{ran:?}");
    }

    // One fault before, one within, one behind the range; two rows whose place nothing tells.
    change(&client, "type = 'Altered'", "49").await;
    let altered = change(&client, "type = 'Altered'", "50").await;
    change(&client, "type = 'Altered'", "120").await;
    change(&client, "id = gen_random_uuid()", "10").await;
    change(&client, "id = gen_random_uuid()", "60").await;
    let report = verify(&scenario, &range, 3).await;
    assert_eq!(
        found(&report),
        [("altered".to_owned(), vec![altered])].into()
    );
    assert_eq!(
        (rows(&report), &report["position_unknown"]),
        (69, &json!(2)),
        "{report:#}"
    );
    assert_eq!(report["without_row"], 1, "{report:#}");
    let ran = scenario
        .command(&[&["verify"], &range[..]].concat(), &[])
        .await;
    assert!(
        ran.stdout.contains("\nin range      69\n"),
        "{}",
        ran.stdout
    );
    let note = "note: 2 rows have neither a message nor a record in outbox.parked";
    assert!(ran.stdout.contains(note), "{}", ran.stdout);
    let all = verify(&scenario, &[], 3).await;
    assert_eq!(all["counts"], counts(2, 0, 0, 3), "{all:#}");

    // With the relay gone, what lies before its checkpoint can still be compared.
    drop(relay);
    scenario.slot_is_behind_checkpoint(&client).await;
    enqueue(&scenario, &client, 10).await;
    let behind = run(&scenario, &["--wait-s", "0", "--from-position", &from]).await;
    assert_eq!(behind.code, Some(1), "{behind:?}");
    let said = "no relay reads from its slot";
    assert!(behind.stderr.contains(said), "{behind:?}");
    let published = [&range[..], &["--wait-s", "10"]].concat();
    let report = verify(&scenario, &published, 3).await;
    assert_eq!(
        (rows(&report), &report["position_unknown"]),
        (69, &json!(15))
    );
}

#[tokio::test]
async fn a_range_that_cannot_be_is_refused() {
    let scenario = Scenario::shared().await;
    for (options, text) in [
        (
            &["--from-position", "1:0/10:0"][..],
            "expected LSN:index or LSN",
        ),
        (&["--to-position", "yesterday"], "expected LSN:index or LSN"),
        (
            &["--from-position", "0/10:1", "--to-position", "0/10:1"],
            "--to-position must lie behind --from-position",
        ),
    ] {
        let ran = run(&scenario, options).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
    }
}
