use std::time::Duration;

use serde_json::Value;
use testbed::{unique, wait};
use tokio_postgres::Client;

use crate::program::{Directory, Outcome, outcome};
use crate::scenario::slot::DroppedSlot;

const DEADLINE: Duration = Duration::from_secs(60);

/// The messages' ids.
pub(crate) const FIRST: &str = "00000000-0000-0000-0000-000000000001";
pub(crate) const SECOND: &str = "00000000-0000-0000-0000-000000000002";
pub(crate) const THIRD: &str = "00000000-0000-0000-0000-000000000003";

/// Three messages: one of key `a` that was refused, one that waits behind it, one of no key.
pub(crate) struct Operator {
    pub(crate) directory: Directory,
    pub(crate) client: Client,
    pub(crate) relay: String,
    pub(crate) database: String,
    _slot: DroppedSlot,
}

impl Operator {
    pub(crate) async fn new() -> Self {
        let server = testbed::shared_postgres().await.unwrap();
        let database = server.create_database().await.unwrap();
        let client = server.connect(server.superuser(), &database).await.unwrap();
        outbox_core::schema::migrate(&client).await.unwrap();
        // Slots, by which a relay is looked for, are shared by all databases of a server.
        let relay = unique::name("stuck").replace('-', "_");
        let url = server.url_with_canary(&database);
        let slot = format!("outbox_{relay}");
        // Without one nobody would ever carry a request out. It keeps nothing.
        let make = "select pg_create_physical_replication_slot($1)";
        client.execute(make, &[&slot]).await.unwrap();
        let operator = Self {
            _slot: DroppedSlot {
                database_url: url.clone(),
                name: slot,
            },
            directory: Directory::with_configuration(&configuration(&relay, &url)),
            client,
            relay,
            database,
        };
        let set_up = "insert into outbox.relay (name) values ($1)";
        let client = &operator.client;
        client.execute(set_up, &[&operator.relay]).await.unwrap();
        operator.park().await;
        operator
    }

    async fn park(&self) {
        let sql = "insert into outbox.parked
                          (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id,
                           destination, key, type, content_type, payload, headers, created_at,
                           reason, error, attempts, blocks_key)
                   select $1, (select system_identifier::text from pg_control_system()), 1,
                          '0/100', g.index, 742, now(), g.id::uuid, 'policy-events', g.key,
                          'PolicyIssued', 'application/json', '{\"number\": 7}',
                          '{\"tenant\": \"7\"}', now(), g.reason, g.error, 1, g.blocks
                   from (values (0, $2::text, 'a', 'too-large', 'larger than it may be', true),
                                (1, $3::text, 'a', 'key-blocked', '', false),
                                (2, $4::text, null, 'rejected', E'no\\x1b[2J', false))
                        as g (index, id, key, reason, error, blocks)";
        self.client
            .execute(sql, &[&self.relay, &FIRST, &SECOND, &THIRD])
            .await
            .unwrap();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.directory.run(&[&["stuck"], arguments].concat())
    }

    /// The same, while the test does something else.
    pub(crate) async fn run_beside(&self, arguments: &[&str]) -> Outcome {
        let arguments = [&["stuck"], arguments].concat();
        let mut program = self.directory.program(&arguments);
        tokio::task::spawn_blocking(move || outcome(&mut program))
            .await
            .unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Carries out the next request, as this outcome, and leaves its messages in this state.
    pub(crate) async fn carry_out(&self, state: &str, counts: (i64, i64, i64)) {
        let sql = "with done as (
                       update outbox.request set state = 'done', finished_at = now(),
                              published = $2, skipped = $3, returned = $4
                       where state = 'requested' returning id)
                   update outbox.parked as p set state = $1 from done where p.request = done.id";
        let (published, skipped, returned) = counts;
        wait::until("a request", DEADLINE, async || {
            self.client
                .execute(sql, &[&state, &published, &skipped, &returned])
                .await
                .unwrap()
                > 0
        })
        .await
        .unwrap();
    }

    pub(crate) async fn states(&self) -> String {
        let sql = "select string_agg(state, ' ' order by commit_lsn, index) from outbox.parked";
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn requests(&self) -> i64 {
        let sql = "select count(*) from outbox.request";
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }
}

pub(crate) fn configuration(relay: &str, url: &str) -> String {
    format!("[relay]\nname = \"{relay}\"\n[postgres]\nurl = \"{url}\"\n[stdout]\n")
}
