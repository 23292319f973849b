//! The consumer of RabbitMQ: whatever is killed when, each report is made once.

pub(crate) mod queue;

use std::collections::HashSet;
use std::time::Duration;

use testbed::{Program, Spawn, wait};
use uuid::Uuid;

use crate::database::Database;
use crate::seed::seed;
use queue::{Order, Queue};

const DEADLINE: Duration = Duration::from_secs(90);

pub(crate) struct Service {
    database: Database,
    pub(crate) program: Program,
}

impl Service {
    /// The service on a queue of its own, which it makes.
    pub(crate) async fn start(queue: &Queue, amqp_url: &str) -> Self {
        let database = Database::create().await;
        let command = Spawn::new(env!("CARGO_BIN_EXE_report"))
            .args(["--database-url", &database.url()])
            .args(["--amqp-url", amqp_url, "--queue", &queue.name]);
        let program = Program::start("report", command).unwrap();
        let service = Self { database, program };
        service.until_consuming(1).await;
        service
    }

    /// Waits until it has subscribed so many times.
    pub(crate) async fn until_consuming(&self, times: usize) {
        let consuming = async || self.logged("consuming") >= times;
        self.until("it consumes", consuming).await;
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, condition: impl FnMut() -> F) {
        let waited = wait::until(what, DEADLINE, condition).await;
        waited.unwrap_or_else(|error| panic!("{error}: {:?}", self.program.stderr()));
    }

    fn logged(&self, message: &str) -> usize {
        let log = self.program.log().unwrap();
        log.iter()
            .filter(|line| line["fields"]["message"] == message)
            .count()
    }

    /// Orders that came again and were found in the inbox.
    pub(crate) fn duplicates(&self) -> usize {
        self.logged("a duplicate")
    }

    pub(crate) async fn made(&self) -> usize {
        let count = "select count(*) from report";
        usize::try_from(self.database.count(count).await).unwrap()
    }

    pub(crate) async fn until_made(&self, count: usize) {
        let what = format!("{count} reports made");
        let made = async || self.made().await >= count;
        self.until(&what, made).await;
    }

    pub(crate) async fn end_in_order(&self) {
        self.program.terminate().unwrap();
        let exit = self.program.exited(DEADLINE).await.unwrap();
        assert_eq!(exit.code(), Some(0), "{:?}", self.program.stderr());
    }

    /// Of each of these ids of a message and its report, the report is made, once; and nothing else.
    pub(crate) async fn assert_made_once(&self, orders: impl IntoIterator<Item = (Uuid, Uuid)>) {
        let client = self.database.client().await;
        let sql = "select message_id, report_id from report";
        let rows = client.query(sql, &[]).await.unwrap();
        let made: HashSet<(Uuid, Uuid)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(rows.len(), made.len(), "a report is made twice");
        assert_eq!(made, orders.into_iter().collect());
    }
}

fn ids(orders: &[Order]) -> impl Iterator<Item = (Uuid, Uuid)> {
    orders.iter().map(|order| (order.id, order.report_id))
}

/// Killed while orders flow that also come twice; away in between, while orders wait.
#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_makes_each_report_once() {
    const KILLS: usize = 10;
    const ORDERS_A_ROUND: usize = 200;
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let queue = Queue::named().await;
    let service = Service::start(&queue, &queue.url()).await;
    let mut expected = Vec::new();
    let mut published_twice = 0;
    for _ in 0..KILLS {
        let before = service.made().await;
        let mut messages = Vec::new();
        for _ in 0..ORDERS_A_ROUND {
            let order = Order::new();
            if random.u8(..7) == 0 {
                // As after a relay that could not know whether the broker had it.
                messages.push(order.clone());
                published_twice += 1;
            }
            messages.push(order.clone());
            expected.push(order);
        }
        let publishing = queue.publish_all(messages);
        let some = before + random.usize(1..ORDERS_A_ROUND / 2);
        let interrupt = async {
            service.until_made(some).await;
            service.program.kill().await.unwrap();
        };
        // It may be away until all are published, or come back while they are.
        let restart_late = random.bool();
        if restart_late {
            tokio::join!(publishing, interrupt);
            service.program.restart().unwrap();
        } else {
            let back = async {
                interrupt.await;
                service.program.restart().unwrap();
            };
            tokio::join!(publishing, back);
        }
    }
    service.until_made(expected.len()).await;
    queue.until_empty().await;
    service.end_in_order().await;
    service.assert_made_once(ids(&expected)).await;
    let duplicates = service.duplicates();
    println!(
        "{} orders, {published_twice} published twice, {duplicates} duplicates met",
        expected.len()
    );
    assert!(duplicates >= published_twice, "{duplicates} duplicates");
    assert!(queue.dead_ids().await.is_empty(), "nothing is given up");
}

/// The point between the commit and the acknowledgement, hit on purpose: no acknowledgement gets
/// through.
#[tokio::test(flavor = "multi_thread")]
async fn killed_before_it_acknowledges_it_gets_the_order_again_and_makes_nothing_twice() {
    let queue = Queue::named().await;
    let proxy = queue.proxy().await;
    let service = Service::start(&queue, &queue.url_through(proxy.port())).await;
    // Holds the service in its transaction, with the order in its hands.
    let mut holder = service.database.client().await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute("lock table report").await.unwrap();
    let orders: Vec<Order> = (0..10).map(|_| Order::new()).collect();
    queue.publish_all(orders.clone()).await;
    let waits = async || {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() \
                   and cardinality(pg_blocking_pids(pid)) > 0";
        service.database.count(sql).await == 1
    };
    service
        .until("the service waits for the table", waits)
        .await;
    proxy.black_hole();
    held.commit().await.unwrap();
    service.until_made(1).await;
    service.program.kill().await.unwrap();
    proxy.cut();
    // What the proxy held back must be gone with the connection before it forwards again.
    queue.until_no_consumer().await;
    proxy.forward();
    service.program.restart().unwrap();
    service.until_made(orders.len()).await;
    queue.until_empty().await;
    assert!(service.duplicates() >= 1);
    service.assert_made_once(ids(&orders)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_wait_while_it_is_down_and_a_lost_connection_is_made_again() {
    let queue = Queue::named().await;
    let proxy = queue.proxy().await;
    let service = Service::start(&queue, &queue.url_through(proxy.port())).await;
    service.end_in_order().await;
    let mut orders: Vec<Order> = (0..100).map(|_| Order::new()).collect();
    queue.publish_all(orders.clone()).await;
    assert_eq!(service.made().await, 0);
    service.program.restart().unwrap();
    service.until_made(100).await;

    proxy.cut();
    service.until_consuming(3).await;
    let more: Vec<Order> = (0..100).map(|_| Order::new()).collect();
    queue.publish_all(more.clone()).await;
    orders.extend(more);
    service.until_made(200).await;
    queue.until_empty().await;
    service.end_in_order().await;
    service.assert_made_once(ids(&orders)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_is_a_dead_letter_and_can_be_mended() {
    let queue = Queue::named().await;
    let service = Service::start(&queue, &queue.url()).await;
    let mut orders = vec![Order::new(), Order::new()];
    let poison = [
        Order::new().of_type("ReportCancelled"),
        Order::new().payload("{}"),
        // A tombstone.
        Order::new().payload(""),
        // Only the database sees these.
        Order::new().month("October"),
        Order::new().month("2026\\u0000"),
    ];
    let mut messages = vec![orders[0].clone()];
    messages.extend(poison.iter().cloned());
    messages.push(orders[1].clone());
    queue.publish_all(messages).await;
    service.until_made(2).await;
    queue.until_empty().await;
    let dead: HashSet<Uuid> = queue.dead_ids().await.into_iter().collect();
    assert_eq!(dead, poison.iter().map(|order| order.id).collect());

    // Mended by somebody, under the same id.
    let mended = poison[3].clone().month("2026-10");
    queue.publish_all(vec![mended.clone()]).await;
    service.until_made(3).await;
    orders.push(mended);
    service.assert_made_once(ids(&orders)).await;
}
