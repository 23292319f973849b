//! The orders service: what it answers is what stands in its tables and in the outbox.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use outbox_examples::JsonClient;
use serde_json::{Value, json};
use testbed::{Program, Spawn, wait};
use uuid::Uuid;

use crate::database::Database;

const DEADLINE: Duration = Duration::from_secs(60);
const LIMIT_CENTS: i64 = 10_000;

struct Service {
    database: Database,
    program: Program,
    address: SocketAddr,
}

impl Service {
    async fn start() -> Self {
        let database = Database::create().await;
        let command = Spawn::new(env!("CARGO_BIN_EXE_orders"))
            .args(["--listen", "127.0.0.1:0", "--database-url", &database.url()])
            .args(["--open-premium-cents-max", &LIMIT_CENTS.to_string()]);
        let program = Program::start("orders", command).unwrap();
        let address = async || {
            let line: Value = serde_json::from_str(program.stdout().ok()?.lines().next()?).ok()?;
            line["listening"].as_str()?.parse().ok()
        };
        let found = wait::until_some("the address of orders", DEADLINE, address).await;
        let address = found.unwrap_or_else(|error| panic!("{error}: {:?}", program.stderr()));
        Self {
            database,
            program,
            address,
        }
    }

    async fn client(&self) -> JsonClient {
        JsonClient::connect(self.address).await.unwrap()
    }
}

fn order(customer: &str, premium_cents: i64) -> Value {
    json!({ "customer": customer, "product": "bicycle", "premium_cents": premium_cents })
}

fn message_id(answer: &Value) -> Uuid {
    answer["message_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_order_and_its_cancellation_are_events_of_the_customer() {
    let service = Service::start().await;
    let mut client = service.client().await;
    assert_eq!(client.get("/health").await.unwrap().0, 200);
    let (status, placed) = client.post("/orders", &order("ann", 900)).await.unwrap();
    assert_eq!(status, 201, "{placed}");
    let cancel = format!("/orders/{}/cancel", placed["order_id"].as_str().unwrap());
    let (status, cancelled) = client.post(&cancel, &Value::Null).await.unwrap();
    assert_eq!(status, 200, "{cancelled}");
    assert_eq!(client.post(&cancel, &Value::Null).await.unwrap().0, 409);
    let unknown = format!("/orders/{}/cancel", Uuid::nil());
    assert_eq!(client.post(&unknown, &Value::Null).await.unwrap().0, 404);

    let stored = service.database.outbox().await;
    let summary: Vec<_> = stored
        .iter()
        .map(|row| {
            (
                row.id,
                row.message_type.as_str(),
                row.payload["version"].as_i64(),
            )
        })
        .collect();
    assert_eq!(
        summary,
        [
            (message_id(&placed), "OrderPlaced", Some(1)),
            (message_id(&cancelled), "OrderCancelled", Some(2)),
        ]
    );
    assert!(
        stored
            .iter()
            .all(|row| row.key == "ann" && row.destination == "orders")
    );
}

#[tokio::test]
async fn a_batch_is_stored_whole_with_the_versions_of_each_customer() {
    let service = Service::start().await;
    let mut client = service.client().await;
    let customers = ["bob", "ann", "bob", "ann", "bob"];
    let orders: Vec<Value> = customers.map(|customer| order(customer, 100)).to_vec();
    let body = json!({ "orders": orders });
    let (status, answer) = client.post("/orders/batch", &body).await.unwrap();
    assert_eq!(status, 201, "{answer}");
    let answered: HashSet<Uuid> = answer["orders"]
        .as_array()
        .unwrap()
        .iter()
        .map(message_id)
        .collect();
    let stored = service.database.outbox().await;
    assert_eq!(
        stored.iter().map(|row| row.id).collect::<HashSet<_>>(),
        answered
    );
    let versions = |customer: &str| -> Vec<i64> {
        let rows = stored.iter().filter(|row| row.key == customer);
        rows.map(|row| row.payload["version"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(
        (versions("ann"), versions("bob")),
        (vec![1, 2], vec![1, 2, 3])
    );
}

#[tokio::test]
async fn a_refusal_after_the_enqueue_leaves_nothing() {
    let service = Service::start().await;
    let mut client = service.client().await;
    let (status, _) = client
        .post("/orders", &order("ann", LIMIT_CENTS))
        .await
        .unwrap();
    assert_eq!(status, 201);
    let (status, single) = client.post("/orders", &order("ann", 1)).await.unwrap();
    assert_eq!(
        (status, single["message_ids"].as_array().unwrap().len()),
        (422, 1)
    );
    let batch = json!({ "orders": [order("bob", 1), order("ann", 1), order("cid", 1)] });
    let (status, batch) = client.post("/orders/batch", &batch).await.unwrap();
    assert_eq!(
        (status, batch["message_ids"].as_array().unwrap().len()),
        (422, 3)
    );
    assert_eq!(
        client.post("/orders", &order("ann", 0)).await.unwrap().0,
        400
    );

    assert_eq!(service.database.outbox().await.len(), 1);
    let orders = "select count(*) from insurance_order";
    assert_eq!(service.database.count(orders).await, 1);
    let version = "select version from customer where name = 'ann'";
    assert_eq!(service.database.count(version).await, 1);
}

/// The premise of the demo: the versions of a customer are its commit order, whoever writes.
#[tokio::test]
async fn many_clients_leave_each_customer_without_a_hole_or_a_repeat() {
    const CLIENTS: usize = 6;
    const REQUESTS: usize = 40;
    let service = Service::start().await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let mut client = service.client().await;
        clients.spawn(async move {
            for turn in 0..REQUESTS {
                let customer = ["ann", "bob", "cid"][(turn + number) % 3];
                let premium = if turn % 7 == 3 { LIMIT_CENTS + 1 } else { 1 };
                let status = if turn % 5 == 4 {
                    let orders = [order("cid", 1), order(customer, premium), order("ann", 1)];
                    client
                        .post("/orders/batch", &json!({ "orders": orders }))
                        .await
                        .unwrap()
                        .0
                } else {
                    client
                        .post("/orders", &order(customer, premium))
                        .await
                        .unwrap()
                        .0
                };
                assert_eq!(status, if premium == 1 { 201 } else { 422 });
            }
        });
    }
    clients.join_all().await;
    for customer in ["ann", "bob", "cid"] {
        let stored = service.database.outbox().await;
        let rows = stored.iter().filter(|row| row.key == customer);
        let mut versions: Vec<i64> = rows
            .map(|row| row.payload["version"].as_i64().unwrap())
            .collect();
        versions.sort_unstable();
        let expected: Vec<i64> = (1..=i64::try_from(versions.len()).unwrap()).collect();
        assert_eq!(versions, expected, "{customer}");
    }
}

#[tokio::test]
async fn sigterm_ends_it_in_order() {
    let service = Service::start().await;
    service.program.terminate().unwrap();
    let exit = service.program.exited(DEADLINE).await.unwrap();
    assert_eq!(exit.code(), Some(0), "{:?}", service.program.stderr());
}
