//! Refused messages from before and after all times.

use super::{LIMITED, in_state, seen, stuck};
use crate::scenario::Scenario;

/// PostgreSQL has times before and after all others.
#[tokio::test]
async fn a_refused_message_whose_time_is_infinite_is_set_aside_and_comes_back() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_with(&[LIMITED]);
    let sql = "insert into outbox.message (destination, key, type, payload, created_at)
               values ($1, 'k' || $2, 'T', convert_to(rpad($2, $3, ' '), 'UTF8'),
                       $4::text::timestamptz)";
    for (number, bytes, created_at) in [
        ("0", 10, "2026-11-22"),
        ("1", 2000, "-infinity"),
        ("2", 10, "infinity"),
        ("3", 2000, "infinity"),
        ("4", 10, "-infinity"),
        ("5", 10, "2026-11-22"),
    ] {
        let destination = scenario.target.destination();
        client
            .execute(sql, &[&destination, &number, &bytes, &created_at])
            .await
            .unwrap();
    }
    in_state(&client, "waiting", 2).await;
    scenario.drained(&client).await;
    let mut published = seen(&scenario).await;
    published.sort_unstable();
    assert_eq!(published, [0, 2, 4, 5]);
    let sql = "select string_agg(created_at::text, ' ' order by created_at) from outbox.parked";
    let kept: String = client.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(kept, "-infinity infinity");
    relay.kill().await.unwrap();
    let listed = stuck(&scenario, &["list"], 0).await;
    assert!(listed.contains("k1") && listed.contains("k3"), "{listed}");
    let relay = scenario.start_active().await;
    stuck(&scenario, &["replay", "--all", "--yes", "--wait"], 0).await;
    let records = scenario.records().await;
    let mut times: Vec<_> = records
        .iter()
        .map(|record| {
            let time = record.header("outbox-created-at").unwrap();
            (record.key.clone().unwrap(), time)
        })
        .collect();
    times.sort();
    let times: Vec<_> = times
        .iter()
        .map(|(key, time)| (&key[..], &time[..]))
        .collect();
    let expected = [
        ("k0", "2026-11-22T00:00:00.000000Z"),
        ("k1", "-infinity"),
        ("k2", "infinity"),
        ("k3", "infinity"),
        ("k4", "-infinity"),
        ("k5", "2026-11-22T00:00:00.000000Z"),
    ];
    assert_eq!(times, expected);
    scenario.verified().await;
    relay.kill().await.unwrap();
}
