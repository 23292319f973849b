//! A broker that runs out of memory takes nothing: the relay waits, and says why.

use std::time::{Duration, Instant};

use testbed::{RabbitServer, wait};

use crate::scenario::observation::assert_calm;
use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// Raises the alarm by hand, for at least so long.
pub(crate) async fn memory_alarm(at_least: Duration) {
    let rabbit = RabbitServer::start().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, Target::queue(&rabbit, "classic").await).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..50).await;
    scenario.drained(&client).await;

    let watermark = ["set_vm_memory_high_watermark", "absolute"];
    let set = async |limit| rabbit.control(&[&watermark[..], &[limit]].concat()).await;
    set("1MB").await.unwrap();
    let raised = Instant::now();
    scenario.enqueue(&client, 50..100).await;
    wait::until("readiness to say why", DEADLINE, || async {
        let answer = scenario.get("/ready").await;
        answer.is_some_and(|(code, why)| code == 200 && why.contains("memory or disk alarm"))
    })
    .await
    .unwrap();
    assert_eq!(scenario.metric("outbox_sink_blocked").await, Some(1.0));
    wait::until("the alarm to last", DEADLINE + at_least, || async {
        raised.elapsed() >= at_least
    })
    .await
    .unwrap();
    let frontier = scenario.checkpoint().await.unwrap().frontier;
    let confirmed = scenario.confirmed(&client).await;
    assert!(
        confirmed <= frontier.lsn,
        "nothing is confirmed that is not published"
    );

    set("1GB").await.unwrap();
    scenario.drained(&client).await;
    assert_eq!(scenario.metric("outbox_sink_blocked").await, Some(0.0));
    assert_eq!(scenario.numbers().await, (0..100).collect::<Vec<_>>());
    assert_calm(&relay);
}
