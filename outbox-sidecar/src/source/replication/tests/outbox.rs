//! An outbox in a database of its own, and a stream from its slot.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use outbox_core::relay::StreamEvent;
use outbox_core::{Lsn, OutboxRow};
use testbed::PostgresAddress;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_postgres::Client;

use crate::source::SourceError;
use crate::source::connection::{Address, Socket, Startup};
use crate::source::pgoutput::Decoder;
use crate::source::publication::create_statement;
use crate::source::replication::Replication;
use crate::source::replication::copy_both::CopyBoth;
use crate::source::replication::framing::Framing;
use crate::source::replication::pacing::Pacing;
use crate::source::replication::silence::Silence;
use crate::source::replication::status::{Confirmed, StatusClock};

/// How long a server may take to do what a test waits for.
pub(super) const SOON: Duration = Duration::from_secs(60);

pub(super) struct Outbox {
    server: PostgresAddress,
    database: String,
    pub(super) client: Client,
    /// The names of the slot and of the publication.
    pub(super) name: String,
    pub(super) consistent_point: Lsn,
}

impl Outbox {
    /// With a publication and a slot.
    pub(super) async fn new(server: &PostgresAddress) -> Self {
        let mut outbox = Self::without_slot(server).await;
        outbox.create_publication(None).await;
        let mut connection = outbox.connect().await.unwrap();
        let slot = connection.create_slot(&outbox.name, false).await.unwrap();
        outbox.consistent_point = slot.consistent_point;
        outbox
    }

    pub(super) async fn without_slot(server: &PostgresAddress) -> Self {
        let database = server.create_database().await.unwrap();
        let mut client = server.connect(server.superuser(), &database).await.unwrap();
        outbox_core::schema::migrate(&mut client).await.unwrap();
        Self {
            server: server.clone(),
            name: format!("outbox_{database}"),
            database,
            client,
            consistent_point: Lsn::ZERO,
        }
    }

    pub(super) async fn create_publication(&self, filter: Option<&str>) {
        let sql = create_statement(&self.name, &"outbox".parse().unwrap(), filter);
        self.run(&sql).await;
    }

    pub(super) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    pub(super) fn url(&self) -> String {
        self.server.url(self.server.superuser(), &self.database)
    }

    pub(super) fn url_of(&self, user: &str, password: &str) -> String {
        self.server
            .url_with_password(user, password, &self.database)
    }

    pub(super) async fn connect(&self) -> Result<Replication<Socket>, SourceError> {
        connect(&self.url()).await
    }

    pub(super) async fn stream(&self) -> Stream {
        let connection = self.connect().await.unwrap();
        self.stream_on(connection).await
    }

    /// Starts the copy as the relay does, in a thread of its own.
    pub(super) async fn stream_on(&self, mut connection: Replication<Socket>) -> Stream {
        let started = connection.start_replication(&self.name, &self.name).await;
        started.unwrap();
        let confirmed = Arc::new(Confirmed::default());
        let (chunks, received) = channel(4);
        let publication = self.name.clone();
        let shared = Arc::clone(&confirmed);
        // The socket belongs to the runtime that made it: the test's. Only the pauses are ours.
        let handle = tokio::runtime::Handle::current();
        let thread = std::thread::spawn(move || {
            let copy = CopyBoth {
                pacing: Pacing::new(connection.wire.is_unix()),
                wire: connection.wire,
                framing: Framing::default(),
                decoder: Decoder::new(&"outbox".parse().unwrap()),
                publication: &publication,
                confirmed: &shared,
                status: StatusClock::new(startup().wal_sender_timeout),
                silence: Silence::default(),
                warnings: 0,
                chunks,
            };
            handle.block_on(copy.run())
        });
        Stream {
            confirmed,
            received,
            thread: Some(thread),
            taken: Vec::new().into_iter(),
        }
    }

    /// The row of `pg_replication_slots`.
    pub(super) async fn confirmed_flush(&self) -> Lsn {
        let sql = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";
        let row = self.client.query_one(sql, &[&self.name]).await.unwrap();
        row.get::<_, String>(0).parse().unwrap()
    }

    pub(super) async fn is_slot_active(&self) -> bool {
        let sql = "select active from pg_replication_slots where slot_name = $1";
        let row = self.client.query_one(sql, &[&self.name]).await.unwrap();
        row.get(0)
    }

    pub(super) async fn drop_slot(&self) {
        testbed::wait::until("the slot is free", SOON, async || {
            !self.is_slot_active().await
        })
        .await
        .unwrap();
        let sql = "select pg_drop_replication_slot($1)";
        self.client.execute(sql, &[&self.name]).await.unwrap();
    }
}

pub(super) fn startup() -> Startup {
    Startup {
        application_name: "outbox-sidecar/test".to_owned(),
        wal_sender_timeout: Duration::from_secs(3),
    }
}

pub(super) async fn connect(url: &str) -> Result<Replication<Socket>, SourceError> {
    let address = Address::parse(url).unwrap();
    Replication::connect(&address, &startup()).await
}

/// A running copy. Dropped, it hangs up.
pub(super) struct Stream {
    pub(super) confirmed: Arc<Confirmed>,
    received: Receiver<Vec<StreamEvent>>,
    thread: Option<JoinHandle<Result<(), SourceError>>>,
    taken: std::vec::IntoIter<StreamEvent>,
}

impl Stream {
    /// The next event; `None` once the stream is over.
    pub(super) async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some(event) = self.taken.next() {
                return Some(event);
            }
            let chunk = tokio::time::timeout(SOON, self.received.recv()).await;
            self.taken = chunk.expect("the server says nothing")?.into_iter();
        }
    }

    /// Rows of whole transactions, until there are `count`; and where the last one ends.
    pub(super) async fn rows(&mut self, count: usize) -> (Vec<OutboxRow>, Lsn) {
        let mut rows = Vec::new();
        loop {
            match self.next().await.expect("the stream ended") {
                StreamEvent::Row(row) => rows.push(row),
                StreamEvent::Commit { end_lsn, .. } if rows.len() >= count => {
                    return (rows, end_lsn);
                }
                _ => {}
            }
        }
    }

    /// Passes by what is left, and returns why the stream ended.
    pub(super) async fn end(mut self) -> Result<(), SourceError> {
        while self.next().await.is_some() {}
        self.join().await
    }

    /// Says goodbye and waits until that is done.
    pub(super) async fn close(mut self) {
        self.confirmed.close();
        self.join().await.unwrap();
    }

    async fn join(&mut self) -> Result<(), SourceError> {
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(|| thread.join().unwrap())
            .await
            .unwrap()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.confirmed.close();
    }
}
