//! Lines on standard output.

use serde_json::Value;

use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

#[tokio::test]
async fn each_message_is_a_line_and_comes_again_only_after_a_kill() {
    let postgres = testbed::shared_postgres().await.unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::to(postgres, Target::kafka(kafka).await).await;
    let text = scenario.configuration();
    scenario.configure(&text.replace(&scenario.target.section(), "[stdout]\n"));
    scenario.init(&[]).await;
    scenario.check(0).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    relay.kill().await.unwrap();
    scenario.enqueue(&client, 10..20).await;
    relay.restart().unwrap();
    scenario.drained(&client).await;
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));

    let written = relay.stdout().unwrap();
    let lines: Vec<Value> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut numbers: Vec<usize> = lines
        .iter()
        .map(|line| line["payload"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(lines[0]["destination"], scenario.target.destination());
    assert_eq!(
        (&lines[3]["key"], &lines[3]["type"]),
        (&"k3".into(), &"T".into())
    );
    let position = lines[0]["position"].as_str().unwrap();
    let (timeline, rest) = position.split_once(':').unwrap();
    let lsn = rest.split(':').next().unwrap().parse::<outbox_core::Lsn>();
    assert!(timeline == "1" && lsn.is_ok(), "{position}");
    // In order; what was printed before the kill and not covered may come again.
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
}
