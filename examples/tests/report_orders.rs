//! The point-to-point path from end to end: core-app → PostgreSQL → the relay → RabbitMQ → report.

mod relay;

use std::time::Duration;

use testbed::wait;
use uuid::Uuid;

use crate::core_app::CoreApp;
use crate::report::Service;
use crate::report::queue::Queue;
use crate::seed::seed;
use relay::Relay;

const DEADLINE: Duration = Duration::from_secs(60);

struct Path {
    queue: Queue,
    report: Service,
    app: CoreApp,
    relay: Relay,
    /// The ids of message and report.
    ordered: Vec<(Uuid, Uuid)>,
}

impl Path {
    async fn start() -> Self {
        let queue = Queue::named().await;
        // First, for the queue is its own: an order for a queue that is not there halts the relay.
        let report = Service::start(&queue, &queue.url()).await;
        let app = CoreApp::start(&queue.name).await;
        let relay = Relay::start(&app.database, &queue).await;
        Self {
            queue,
            report,
            app,
            relay,
            ordered: Vec::new(),
        }
    }

    async fn order(&mut self, count: usize) {
        for number in 0..count {
            let customer = format!("customer {}", number % 7);
            let (report_id, message_id) = self.app.order(&customer).await;
            self.ordered.push((message_id, report_id));
        }
    }

    /// Every report is made, once, and nothing is left anywhere.
    async fn end(self) {
        self.report.until_made(self.ordered.len()).await;
        self.queue.until_empty().await;
        self.report.end_in_order().await;
        self.report.assert_made_once(self.ordered).await;
        assert!(self.queue.dead_ids().await.is_empty());
        self.relay.remove().await;
    }
}

/// The service is away while orders are taken and queued; relay and service are killed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn each_report_is_made_once_whoever_is_away_or_killed() {
    const ROUNDS: usize = 6;
    let mut random = fastrand::Rng::with_seed(seed());
    let mut path = Path::start().await;
    path.order(10).await;
    path.report.until_made(10).await;

    // Down for a while: nobody waits for it, and it catches up.
    path.report.end_in_order().await;
    path.order(50).await;
    path.queue.until_messages(50).await;
    assert_eq!(path.report.made().await, 10);
    path.report.program.restart().unwrap();

    for _ in 0..ROUNDS {
        path.order(random.usize(1..30)).await;
        let (kill_relay, kill_report) = (random.bool(), random.bool());
        if kill_relay {
            path.relay.program.kill().await.unwrap();
        }
        if kill_report {
            path.report.program.kill().await.unwrap();
        }
        path.order(random.usize(1..30)).await;
        if kill_report {
            path.report.program.restart().unwrap();
        }
        if kill_relay {
            path.relay.program.restart().unwrap();
        }
    }
    path.end().await;
}

/// Stops whoever wants to write down that another message is published, while `LOCK` is held. What
/// the relay writes of an idle hour passes: behind that nothing would be published that could be so
/// twice.
const GATE: &str = "
    create function wait_at_gate() returns trigger language plpgsql as $$
        begin
            perform pg_advisory_xact_lock_shared(1);
            return new;
        end
    $$;
    create trigger gate before update of checkpoint on outbox.relay for each row
        when (old.checkpoint::json#>>'{checkpoint,last}' is distinct from new.checkpoint::json#>>'{checkpoint,last}')
        execute function wait_at_gate()";
const LOCK: &str = "select pg_advisory_lock(1)";
const UNLOCK: &str = "select pg_advisory_unlock(1)";
const NOTED: &str =
    "select count(*) from outbox.relay where checkpoint::json#>>'{checkpoint,last}' is not null";

/// How many wait for a lock in the database of core-app, each asked for `what`.
async fn blocked(app: &CoreApp, what: &str) -> i64 {
    let sql = format!(
        "select count({what}) from pg_stat_activity \
         where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0"
    );
    app.database.count(&sql).await
}

/// Killed after RabbitMQ has confirmed and before that is written down, on purpose: the relay
/// publishes again, and the inbox knows it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_relay_publishes_twice_is_made_once() {
    let mut path = Path::start().await;
    let gate = path.app.database.client().await;
    gate.batch_execute(GATE).await.unwrap();
    path.order(1).await;
    path.report.until_made(1).await;
    // Held there, the relay would publish nothing that follows.
    wait::until("the first order is noted", DEADLINE, async || {
        path.app.database.count(NOTED).await == 1
    })
    .await
    .unwrap();
    gate.batch_execute(LOCK).await.unwrap();
    path.order(20).await;
    path.report.until_made(2).await;
    wait::until("the relay waits at the gate", DEADLINE, async || {
        blocked(&path.app, "true").await > 0
    })
    .await
    .unwrap();
    path.relay.program.kill().await.unwrap();
    // What the killed relay had sent to the server would still be done there.
    wait::until("its wait ended", DEADLINE, async || {
        blocked(&path.app, "pg_terminate_backend(pid)").await == 0
    })
    .await
    .unwrap();
    gate.batch_execute(UNLOCK).await.unwrap();
    path.relay.program.restart().unwrap();
    path.report.until_made(21).await;
    // Behind everything that was published again.
    path.order(1).await;
    path.report.until_made(22).await;
    assert!(path.report.duplicates() >= 1);
    path.end().await;
}
