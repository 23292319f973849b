use std::num::NonZeroU32;
use std::time::Duration;

use outbox_core::MessageId;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::config::{Layers, Overrides, Settings};
use crate::operator::{Progress, Session};
use crate::stuck::{Answer, Filter, Kind, Plan, StuckError, Wish, ask, plan};

pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A database with an outbox of relay `tests`.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) settings: Settings,
}

/// A row to be set aside: the number is its place in the log, and its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked {
    pub(super) number: u64,
    pub(super) key: Option<&'static str>,
    pub(super) reason: &'static str,
    pub(super) blocks_key: bool,
}

/// The first of its key that was refused.
pub(super) const fn refused(number: u64, key: &'static str) -> Parked {
    Parked {
        number,
        key: Some(key),
        reason: "too-large",
        blocks_key: true,
    }
}

/// One that waits behind it.
pub(super) const fn behind(number: u64, key: &'static str) -> Parked {
    Parked {
        number,
        key: Some(key),
        reason: "key-blocked",
        blocks_key: false,
    }
}

/// One of no key.
pub(super) const fn alone(number: u64) -> Parked {
    Parked {
        number,
        key: None,
        reason: "too-large",
        blocks_key: false,
    }
}

pub(crate) fn id(number: u64) -> MessageId {
    Uuid::from_u128(u128::from(number)).into()
}

/// Settings of relay `tests` in the database of this URL.
pub(super) fn settings(url: &str) -> Settings {
    let values = [
        ("relay.name", "tests"),
        ("postgres.url", url),
        ("kafka.properties.bootstrap.servers", "127.0.0.1:1"),
    ];
    let overrides = Overrides {
        file: None,
        values: values
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
    };
    Settings::read(&Layers::read(&overrides, []).unwrap()).unwrap()
}

impl Database {
    pub(crate) async fn new() -> Self {
        Self::on(testbed::shared_postgres().await.unwrap()).await
    }

    pub(crate) async fn on(server: &testbed::PostgresAddress) -> Self {
        let name = server.create_database().await.unwrap();
        let client = server.connect(server.superuser(), &name).await.unwrap();
        outbox_core::schema::migrate(&client).await.unwrap();
        let relay = "insert into outbox.relay (name) values ('tests')";
        client.batch_execute(relay).await.unwrap();
        // Without one nobody would ever carry a request out. All databases share it; it keeps nothing.
        let make = "select pg_create_physical_replication_slot('outbox_tests')";
        if let Err(error) = client.batch_execute(make).await {
            assert_eq!(error.code(), Some(&SqlState::DUPLICATE_OBJECT), "{error}");
        }
        let settings = settings(&server.url(server.superuser(), &name));
        Self {
            name,
            client,
            settings,
        }
    }

    /// With these rows.
    pub(super) async fn with(rows: &[Parked]) -> Self {
        let database = Self::new().await;
        database.park(rows).await;
        database
    }

    pub(crate) async fn session(&self) -> Session {
        Session::open(&self.settings, "outbox-sidecar tests")
            .await
            .unwrap()
    }

    /// Sets rows aside, with number 256 at 0/100, two to a transaction.
    pub(super) async fn park(&self, rows: &[Parked]) {
        let sql = "insert into outbox.parked
                          (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id,
                           destination, key, type, content_type, payload, headers, created_at,
                           reason, error, attempts, blocks_key)
                   select 'tests', (select system_identifier::text from pg_control_system()), 1,
                          '0/0'::pg_lsn + g.number / 2 * 2, g.number % 2, 742, now(), g.id,
                          'policy-events', g.key, 'PolicyIssued', 'application/json',
                          convert_to('{\"number\": ' || g.number || '}', 'UTF8'),
                          '{\"tenant\": \"7\"}', now(), g.reason,
                          case when g.reason = 'key-blocked' then '' else 'larger than it may be' end,
                          (g.reason <> 'key-blocked')::int, g.blocks_key
                   from unnest($1::int8[], $2::uuid[], $3::text[], $4::text[], $5::bool[])
                        as g (number, id, key, reason, blocks_key)";
        let numbers: Vec<_> = rows
            .iter()
            .map(|row| i64::try_from(row.number).unwrap())
            .collect();
        let ids: Vec<_> = rows.iter().map(|row| Uuid::from(id(row.number))).collect();
        let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
        let reasons: Vec<_> = rows.iter().map(|row| row.reason).collect();
        let blocks: Vec<_> = rows.iter().map(|row| row.blocks_key).collect();
        self.client
            .execute(sql, &[&numbers, &ids, &keys, &reasons, &blocks])
            .await
            .unwrap();
    }

    /// The numbers of the rows in this state, in the order of the log.
    pub(super) async fn in_state(&self, state: &str) -> Vec<u64> {
        let sql = "select id from outbox.parked where state = $1 order by commit_lsn, index";
        let rows = self.client.query(sql, &[&state]).await.unwrap();
        let number =
            |row: &tokio_postgres::Row| u64::try_from(row.get::<_, Uuid>(0).as_u128()).unwrap();
        rows.iter().map(number).collect()
    }

    /// Everything that a command may change, as text.
    pub(crate) async fn everything(&self) -> String {
        let sql = "select coalesce(string_agg(p::text, '|' order by p.commit_lsn, p.index), '') ||
                          (select coalesce(string_agg(r::text, '|'), '') from outbox.request as r)
                   from outbox.parked as p";
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(super) async fn plan(&self, filter: &Filter) -> Plan {
        plan(&self.session().await, filter).await.unwrap()
    }

    /// Plans and asks.
    pub(super) async fn ask(&self, wish: &Wish) -> (Answer, Result<(), StuckError>) {
        let session = self.session().await;
        let plan = plan(&session, &wish.filter).await.unwrap();
        ask(&session, wish, &plan, &Progress::default()).await
    }

    /// One value.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let row = self.client.query_one(sql, &[]).await.unwrap();
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }
}

/// A wish for a replay, without waiting.
pub(super) fn replay(filter: Filter) -> Wish {
    Wish {
        kind: Kind::Replay,
        filter,
        destination: None,
        edit: None,
        actor: Some("anna".to_owned()),
        note: Some("broker mended".to_owned()),
        rate: None,
        wait_max: None,
    }
}

/// At this rate.
pub(super) fn at_rate(wish: Wish, rate: u32) -> Wish {
    Wish {
        rate: NonZeroU32::new(rate),
        ..wish
    }
}

pub(super) fn of_ids(numbers: &[u64]) -> Filter {
    Filter {
        ids: numbers.iter().copied().map(id).collect(),
        ..Filter::default()
    }
}

pub(super) fn of_key(key: &str) -> Filter {
    Filter {
        keys: vec![key.to_owned()],
        ..Filter::default()
    }
}
