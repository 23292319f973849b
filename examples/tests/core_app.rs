//! Who orders reports: what is answered is what stands in the table and in the outbox.

use std::time::Duration;

use outbox_examples::JsonClient;
use serde_json::{Value, json};
use testbed::{Program, Spawn, wait};

use crate::database::Database;

const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct CoreApp {
    pub(crate) database: Database,
    program: Program,
    client: JsonClient,
}

impl CoreApp {
    pub(crate) async fn start(destination: &str) -> Self {
        let database = Database::create().await;
        let command = Spawn::new(env!("CARGO_BIN_EXE_core-app"))
            .args(["--listen", "127.0.0.1:0", "--database-url", &database.url()])
            .args(["--destination", destination]);
        let program = Program::start("core-app", command).unwrap();
        let address = async || {
            let line: Value = serde_json::from_str(program.stdout().ok()?.lines().next()?).ok()?;
            line["listening"].as_str()?.parse().ok()
        };
        let found = wait::until_some("the address of core-app", DEADLINE, address).await;
        let address = found.unwrap_or_else(|error| panic!("{error}: {:?}", program.stderr()));
        Self {
            database,
            program,
            client: JsonClient::connect(address).await.unwrap(),
        }
    }

    /// Orders a report; returns the ids of the report and of the message.
    pub(crate) async fn order(&mut self, customer: &str) -> (uuid::Uuid, uuid::Uuid) {
        let wish = json!({ "customer": customer, "month": "2026-10" });
        let (status, answer) = self.client.post("/reports", &wish).await.unwrap();
        assert_eq!(status, 202, "{answer}");
        let id = |name: &str| answer[name].as_str().unwrap().parse().unwrap();
        (id("report_id"), id("message_id"))
    }
}

#[tokio::test]
async fn an_order_is_a_row_and_a_message() {
    let mut app = CoreApp::start("reports").await;
    assert_eq!(app.client.get("/health").await.unwrap().0, 200);
    let (report_id, message_id) = app.order("ann").await;
    let stored = app.database.outbox().await;
    let [message] = stored.as_slice() else {
        panic!("{stored:?}")
    };
    assert_eq!((message.id, message.key.as_str()), (message_id, "ann"));
    assert_eq!(message.destination, "reports");
    assert_eq!(message.message_type, "ReportOrdered");
    let payload = json!({ "report_id": report_id, "customer": "ann", "month": "2026-10" });
    assert_eq!(message.payload, payload);
    let orders = "select count(*) from report_order";
    assert_eq!(app.database.count(orders).await, 1);

    // A text that the database does not take: neither is stored.
    let wish = json!({ "customer": "a\0n", "month": "2026-10" });
    assert_eq!(app.client.post("/reports", &wish).await.unwrap().0, 500);
    assert_eq!(app.database.outbox().await.len(), 1);
    app.program.terminate().unwrap();
    let exit = app.program.exited(DEADLINE).await.unwrap();
    assert_eq!(exit.code(), Some(0), "{:?}", app.program.stderr());
}
