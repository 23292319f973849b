//! A broker with an alarm takes nothing: the relay waits, and says why.

use std::cell::Cell;
use std::time::{Duration, Instant};

use testbed::{RabbitServer, wait};

use crate::scenario::observation::assert_calm;
use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// What a broker can run out of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alarm {
    Memory,
    Disk,
}

impl Alarm {
    async fn raise(self, rabbit: &RabbitServer) {
        match self {
            Self::Memory => set(rabbit, &[MEMORY, "absolute", "1MB"]).await,
            Self::Disk => set(rabbit, &[DISK, "900GB"]).await,
        }
    }

    async fn end(self, rabbit: &RabbitServer) {
        match self {
            Self::Memory => set(rabbit, &[MEMORY, "absolute", "1GB"]).await,
            Self::Disk => set(rabbit, &[DISK, "50MB"]).await,
        }
    }
}

const MEMORY: &str = "set_vm_memory_high_watermark";
const DISK: &str = "set_disk_free_limit";

async fn set(rabbit: &RabbitServer, order: &[&str]) {
    rabbit.control(order).await.unwrap();
}

/// Raises the alarm by hand, for at least so long.
pub(crate) async fn alarm(alarm: Alarm, at_least: Duration) {
    let rabbit = RabbitServer::start().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, Target::queue(&rabbit, "classic").await).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..50).await;
    scenario.drained(&client).await;

    alarm.raise(&rabbit).await;
    let raised = Instant::now();
    let enqueued = Cell::new(50);
    wait::until("readiness to say why", DEADLINE, || async {
        // The broker says so with the first message that comes after the alarm.
        let next = enqueued.get();
        scenario.enqueue(&client, next..next + 1).await;
        enqueued.set(next + 1);
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

    // A connection waits from the second message on, which nobody takes either.
    let route = [
        "--set",
        "rabbitmq.routes.0.destination=none",
        "--set",
        "rabbitmq.routes.0.exchange=amq.fanout",
        "--set",
        "rabbitmq.routes.0.routing_key=none",
        "check",
    ];
    let checked = scenario.command(&route, &[]).await.stdout;
    let says = |line: &str| {
        line.starts_with("warning  right to write: ") && line.contains("memory or disk alarm")
    };
    assert!(checked.lines().any(says), "{checked}");

    alarm.end(&rabbit).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.metric("outbox_sink_blocked").await, Some(0.0));
    assert_eq!(
        scenario.numbers().await,
        (0..enqueued.get()).collect::<Vec<_>>()
    );
    assert_calm(&relay);
}
