//! Faults of the database.

use testbed::{Pooler, PostgresServer};
use tokio_postgres::Client;

use super::rights::RIGHTS;
use super::{Planted, finds, is_calm, plant_and_find};
use crate::scenario::Scenario;
use crate::scenario::slot::reading;

/// A server that is set up as it should be, and a relay with a role of its own on it.
pub(super) async fn good(postgres: &PostgresServer) -> (Scenario, String) {
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    let role = format!("role_{}", scenario.relay);
    let admin = scenario.database_url.clone();
    scenario
        .init(&["--admin-url", &admin, "--relay-role", &role])
        .await;
    let database = admin.rsplit('/').next().unwrap();
    let url = postgres.url(&role, database);
    scenario.configure(&scenario.configuration().replace(&admin, &url));
    is_calm(&scenario).await;
    (scenario, role)
}

pub(super) async fn server() -> PostgresServer {
    PostgresServer::options()
        .setting("max_slot_wal_keep_size", "2GB")
        .start()
        .await
        .unwrap()
}

pub(super) const RELOAD: &str = "select pg_reload_conf()";

const PUBLICATION: &[Planted] = &[
    Planted {
        plant: &["alter publication SLOT set (publish = 'insert, update')"],
        line: ("error", "publication"),
        says: "must publish inserts and nothing else",
        mend: &["alter publication SLOT set (publish = 'insert')"],
    },
    Planted {
        plant: &["alter publication SLOT set (publish_via_partition_root = false)"],
        line: ("error", "publication"),
        says: "publish_via_partition_root",
        mend: &["alter publication SLOT set (publish_via_partition_root = true)"],
    },
    Planted {
        plant: &["alter publication SLOT set table outbox.message (id, destination, key, type)"],
        line: ("error", "publication"),
        says: "leaves out the column content_type, payload, headers, created_at",
        mend: &["alter publication SLOT set table outbox.message"],
    },
    Planted {
        plant: &["alter publication SLOT set table outbox.message where (destination <> 'x')"],
        line: ("error", "publication"),
        says: "was altered since the checkpoint was written",
        mend: &["alter publication SLOT set table outbox.message"],
    },
    Planted {
        plant: &["alter publication SLOT add table outbox.inbox"],
        line: ("error", "publication"),
        says: "must publish \"outbox\".message and nothing else",
        mend: &["alter publication SLOT drop table outbox.inbox"],
    },
    Planted {
        plant: &["drop publication SLOT"],
        line: ("error", "publication"),
        says: "does not exist",
        mend: &["create publication SLOT for table outbox.message \
                 with (publish = 'insert', publish_via_partition_root = true)"],
    },
];

const SCHEMA: &[Planted] = &[
    Planted {
        plant: &["update outbox.migration set version = -version where version = 9"],
        line: ("error", "schema"),
        says: "version 8, this program needs 9",
        mend: &["update outbox.migration set version = -version where version = -9"],
    },
    Planted {
        plant: &["do $$ declare part text; begin
                    for part in select inhrelid::regclass::text from pg_inherits
                        where inhparent = 'outbox.message'::regclass
                          and inhrelid::regclass::text like 'outbox.message_2%'
                    loop execute 'drop table ' || part; end loop; end $$"],
        line: ("warning", "partitions"),
        says: "0 daily partitions ahead",
        mend: &["select * from outbox.maintain_partitions()"],
    },
    Planted {
        plant: &["drop table outbox.message_default"],
        line: ("error", "partitions"),
        says: "message_default does not exist",
        mend: &[
            "create table outbox.message_default partition of outbox.message default",
            "grant select on outbox.message_default to ROLE",
        ],
    },
    Planted {
        plant: &[
            "insert into outbox.message (destination, type, created_at) \
                  values ('DESTINATION', 'T', now() + interval '1 year')",
        ],
        line: ("warning", "partitions"),
        says: "the default partition holds rows",
        mend: &["delete from outbox.message_default"],
    },
    Planted {
        plant: &["update outbox.relay set name = name || '_other'"],
        line: ("error", "set-up"),
        says: "was never set up; set up are: relay_",
        mend: &["update outbox.relay set name = replace(name, '_other', '')"],
    },
    Planted {
        plant: &["update outbox.relay set destinations = '{a}'"],
        line: ("error", "set-up"),
        says: "destinations",
        mend: &["update outbox.relay set destinations = '{*}'"],
    },
    Planted {
        plant: &[
            "update outbox.relay set held_exit_code = 6, held_reason = 'set back', \
                  held_at = now()",
        ],
        line: ("error", "set-up"),
        says: "held since an earlier run (exit 6): set back",
        mend: &[
            "update outbox.relay set held_exit_code = null, held_reason = null, \
                 held_at = null",
        ],
    },
    Planted {
        plant: &[
            "create table kept as select genesis_written_at from outbox.relay",
            "update outbox.relay set genesis_written_at = null",
        ],
        line: ("error", "set-up"),
        says: "init did not come to its end",
        mend: &[
            "update outbox.relay set genesis_written_at = (select genesis_written_at from kept)",
        ],
    },
];

const SETTINGS: &[Planted] = &[
    Planted {
        plant: &["alter system set logical_decoding_work_mem = '1MB'", RELOAD],
        line: ("warning", "logical_decoding_work_mem"),
        says: "1MB, less than the default of 64MB",
        mend: &["alter system reset logical_decoding_work_mem", RELOAD],
    },
    Planted {
        plant: &["alter system set synchronous_standby_names = '*'", RELOAD],
        line: ("error", "synchronous_standby_names"),
        says: "makes the relay a synchronous standby",
        mend: &["alter system reset synchronous_standby_names", RELOAD],
    },
    Planted {
        plant: &["alter system set max_slot_wal_keep_size = '-1'", RELOAD],
        line: ("warning", "max_slot_wal_keep_size"),
        says: "without limit",
        mend: &["alter system reset max_slot_wal_keep_size", RELOAD],
    },
    Planted {
        plant: &["alter system set max_slot_wal_keep_size = '256MB'", RELOAD],
        line: ("warning", "max_slot_wal_keep_size"),
        says: "256MB, less than max_wal_size",
        mend: &["alter system reset max_slot_wal_keep_size", RELOAD],
    },
];

/// From PostgreSQL 17 on.
const SETTINGS_17: &[Planted] = &[Planted {
    plant: &[
        "alter system set synchronized_standby_slots = 'standby1'",
        RELOAD,
    ],
    line: ("warning", "slot"),
    says: "nobody reads \"standby1\"",
    mend: &["alter system reset synchronized_standby_slots", RELOAD],
}];

/// From PostgreSQL 18 on.
const SETTINGS_18: &[Planted] = &[Planted {
    plant: &[
        "alter system set idle_replication_slot_timeout = '1h'",
        RELOAD,
    ],
    line: ("warning", "idle_replication_slot_timeout"),
    says: "a relay that is away for 1h loses its slot",
    mend: &["alter system reset idle_replication_slot_timeout", RELOAD],
}];

/// The server's major version.
async fn version(client: &Client) -> i32 {
    let sql = "select current_setting('server_version_num')::int / 10000";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn faults_of_the_database_are_found() {
    let postgres = server().await;
    let (scenario, role) = good(&postgres).await;
    let client = scenario.client().await;
    let mut all = vec![RIGHTS, PUBLICATION, SCHEMA, SETTINGS];
    let version = version(&client).await;
    all.extend((version >= 17).then_some(SETTINGS_17));
    all.extend((version >= 18).then_some(SETTINGS_18));
    for faults in all {
        plant_and_find(&scenario, &client, &role, faults).await;
    }
}

/// What stands in the place of the slot, one after the other; the last ones end it.
#[tokio::test]
async fn faults_of_the_slot_are_found() {
    let postgres = server().await;
    let (scenario, _) = good(&postgres).await;
    let client = scenario.client().await;
    let slot = scenario.slot();
    let run = async |sql: &str| {
        let sql = sql.replace("SLOT", &slot);
        let ran = client.batch_execute(&sql).await;
        ran.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    };
    let drop = "select pg_drop_replication_slot('SLOT')";
    let error = ("error", "slot");

    let url = scenario.database_url.clone();
    let reader = reading(&url, &slot).await;
    finds(&scenario, &[], error, "which is no relay of this name").await;
    reader.kill().await.unwrap();
    testbed::wait::until("the slot free", crate::scenario::DEADLINE, async || {
        let sql = "select active from pg_replication_slots where slot_name = $1";
        let row = client.query_one(sql, &[&slot]).await.unwrap();
        !row.get::<_, bool>(0)
    })
    .await
    .unwrap();

    run(drop).await;
    finds(&scenario, &[], error, "does not exist").await;
    run("select pg_create_physical_replication_slot('SLOT')").await;
    finds(&scenario, &[], error, "it is a physical slot").await;
    run(drop).await;
    run("select pg_create_logical_replication_slot('SLOT', 'test_decoding')").await;
    finds(&scenario, &[], error, "it uses the plugin test_decoding").await;
    run(drop).await;
    run("select pg_logical_emit_message(false, 'x', 'y')").await;
    run("select pg_create_logical_replication_slot('SLOT', 'pgoutput')").await;
    finds(&scenario, &[], ("error", "checkpoint"), "behind the slot").await;
    if version(&client).await >= 17 {
        let stays = "stays behind when a standby is promoted";
        finds(&scenario, &[], ("warning", "slot"), stays).await;
    }

    for statement in ["alter system set max_slot_wal_keep_size = '64MB'", RELOAD] {
        run(statement).await;
    }
    let safe = "select safe_wal_size from pg_replication_slots where slot_name = $1";
    while client
        .query_one(safe, &[&slot])
        .await
        .unwrap()
        .get::<_, i64>(0)
        > 8_000_000
    {
        run("select pg_logical_emit_message(false, 'x', repeat('x', 1000000))").await;
    }
    finds(
        &scenario,
        &[],
        ("warning", "slot"),
        "more bytes of log, of 67108864",
    )
    .await;
    run(
        "select pg_logical_emit_message(false, 'x', repeat('x', 1000000)) \
         from generate_series(1, 40)",
    )
    .await;
    finds(&scenario, &[], error, "is about to lose log that it needs").await;
    run("checkpoint").await;
    finds(&scenario, &[], error, "cannot be read").await;
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_named() {
    let postgres = server().await;
    let (scenario, role) = good(&postgres).await;
    let reject = format!("host all {role} 127.0.0.1/32 reject");
    postgres.set_hba(&[&reject]).await.unwrap();
    finds(
        &scenario,
        &[],
        ("error", "connection"),
        "pg_hba.conf rejects",
    )
    .await;
    let port = testbed::ReservedPort::find().unwrap();
    let url = format!("postgres.url=postgres://r@127.0.0.1:{}/d", port.number());
    finds(
        &scenario,
        &[&url],
        ("error", "connection"),
        &format!("127.0.0.1, port {}: Connection refused", port.number()),
    )
    .await;
}

#[tokio::test]
async fn a_pooler_in_between_is_found() {
    let postgres = server().await;
    let (scenario, role) = good(&postgres).await;
    let pooler = Pooler::start(postgres.address(), &[&role]).await.unwrap();
    let database = scenario.database_url.rsplit('/').next().unwrap();
    let url = format!("postgres.url={}", pooler.url(&role, database));
    let line = ("error", "replication connection");
    finds(&scenario, &[&url], line, "").await;
}
