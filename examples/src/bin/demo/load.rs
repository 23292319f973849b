//! The clients of the service, and what it answered them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use outbox_examples::JsonClient;
use serde_json::Value;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::plan::{Plan, Request};

/// Concurrent connections to the service.
const CLIENTS: u32 = 8;

/// What the service has answered so far.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Each committed message, and when the answer came: right after the COMMIT.
    pub(crate) committed: Vec<(Uuid, Instant)>,
    /// Enqueued, then rolled back.
    pub(crate) rolled_back: Vec<Uuid>,
}

/// Running clients; dropped, they stop.
#[derive(Debug)]
pub(crate) struct Load {
    answers: Arc<Mutex<Answers>>,
    clients: JoinSet<anyhow::Result<()>>,
    started: Instant,
}

impl Load {
    /// Starts clients that together make the service commit `messages` messages in `length`.
    pub(crate) fn start(service: SocketAddr, seed: u64, messages: u32, length: Duration) -> Self {
        let answers = Arc::new(Mutex::new(Answers::default()));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let share = messages / CLIENTS + u32::from(number < messages % CLIENTS);
            let client = Client {
                plan: Plan::new(seed, number),
                open_orders: Vec::new(),
                committed: 0,
                answers: Arc::clone(&answers),
            };
            clients.spawn(client.run(service, share, length));
        }
        Self {
            answers,
            clients,
            started: Instant::now(),
        }
    }

    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Committed and rolled back messages so far.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        (answers.committed.len(), answers.rolled_back.len())
    }

    /// Whether all clients are done; the first one that failed is an error.
    pub(crate) fn is_done(&mut self) -> anyhow::Result<bool> {
        while let Some(ended) = self.clients.try_join_next() {
            ended.context("a client panicked")??;
        }
        Ok(self.clients.is_empty())
    }

    /// What was answered.
    pub(crate) fn into_answers(self) -> Answers {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut answers)
    }
}

struct Client {
    plan: Plan,
    open_orders: Vec<String>,
    committed: u32,
    answers: Arc<Mutex<Answers>>,
}

impl Client {
    async fn run(
        mut self,
        service: SocketAddr,
        share: u32,
        length: Duration,
    ) -> anyhow::Result<()> {
        let mut connection = JsonClient::connect(service).await?;
        let started = Instant::now();
        while self.committed < share {
            // Messages are due at an even pace; behind it, requests follow without a pause.
            let due = length.mul_f64(f64::from(self.committed) / f64::from(share));
            tokio::time::sleep_until((started + due).into()).await;
            let request = self.plan.next(self.open_orders.len());
            self.perform(&mut connection, request).await?;
        }
        Ok(())
    }

    async fn perform(
        &mut self,
        connection: &mut JsonClient,
        request: Request,
    ) -> anyhow::Result<()> {
        let (path, body, expected) = match request {
            Request::Place(order) => ("/orders".to_owned(), order, 201),
            Request::PlaceAll(orders) => ("/orders/batch".to_owned(), orders, 201),
            Request::RefusedPlace(order) => ("/orders".to_owned(), order, 422),
            Request::RefusedPlaceAll(orders) => ("/orders/batch".to_owned(), orders, 422),
            Request::Cancel(index) => {
                let order = self.open_orders.swap_remove(index);
                (format!("/orders/{order}/cancel"), Value::Null, 200)
            }
        };
        let (status, answer) = connection.post(&path, &body).await?;
        let answered = Instant::now();
        if status != expected {
            bail!("POST {path} answered {status} instead of {expected}: {answer}");
        }
        let done = match answer.get("orders").and_then(Value::as_array) {
            Some(orders) => orders.iter().collect(),
            None => vec![&answer],
        };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if status == 422 {
            let ids = answer.get("message_ids").and_then(Value::as_array);
            for id in ids.context("a refusal without message_ids")? {
                answers.rolled_back.push(uuid(id)?);
            }
            return Ok(());
        }
        for one in done {
            let id = one
                .get("message_id")
                .context("no message_id in an answer")?;
            answers.committed.push((uuid(id)?, answered));
            self.committed += 1;
            let order = one.get("order_id").and_then(Value::as_str);
            if status == 201 {
                self.open_orders.extend(order.map(str::to_owned));
            }
        }
        Ok(())
    }
}

fn uuid(value: &Value) -> anyhow::Result<Uuid> {
    let text = value.as_str().context("an id is no text")?;
    text.parse().with_context(|| format!("{text:?} is no id"))
}
