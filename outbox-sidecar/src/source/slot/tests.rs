use std::time::Duration;

use outbox_core::relay::Holder;
use testbed::PostgresServer;

use super::{read_slot, terminate_holder};
use crate::source::connection::{Address, Startup};
use crate::source::replication::Replication;

const NAME: &str = "outbox_policy";

#[tokio::test]
async fn a_slot_is_read_with_its_holder_and_its_faults() {
    let server = PostgresServer::start().await.unwrap();
    let address = server.address();
    let database = address.create_database().await.unwrap();
    let client = server
        .connect(address.superuser(), &database)
        .await
        .unwrap();
    assert_eq!(read_slot(&client, NAME).await.unwrap(), None);

    let startup = Startup {
        application_name: "outbox-sidecar/policy".to_owned(),
        wal_sender_timeout: Duration::from_secs(4),
    };
    let url = address.url(address.superuser(), &database);
    let mut connection = Replication::connect(&Address::parse(&url).unwrap(), &startup)
        .await
        .unwrap();
    let created = connection.create_slot(NAME, false).await.unwrap();
    let slot = read_slot(&client, NAME).await.unwrap().unwrap();
    assert_eq!(slot.state.confirmed_flush, created.consistent_point);
    assert_eq!((slot.state.fault, slot.state.holder), (None, None));
    assert_eq!(slot.wal_status, "reserved");

    connection.start_replication(NAME, "any").await.unwrap();
    let slot = read_slot(&client, NAME).await.unwrap().unwrap();
    let holder = slot.state.holder.unwrap();
    assert_eq!(holder.pid, connection.server.process_id);
    assert!(holder.backend_start.is_some());

    // Never another one than the one that was seen to be silent.
    let earlier = Holder {
        backend_start: holder.reply_time,
        ..holder
    };
    assert!(!terminate_holder(&client, &earlier).await.unwrap());
    let ended = testbed::wait::until("the holder is ended", Duration::from_secs(30), async || {
        let slot = read_slot(&client, NAME).await.unwrap().unwrap();
        match slot.state.holder {
            Some(holder) => {
                terminate_holder(&client, &holder).await.unwrap();
                false
            }
            None => true,
        }
    });
    ended.await.unwrap();

    let elsewhere = address.connect_as_superuser().await.unwrap();
    let slot = read_slot(&elsewhere, NAME).await.unwrap().unwrap();
    let fault = slot.state.fault.unwrap();
    assert!(fault.contains("belongs to database"), "{fault}");
    for (name, sql, said) in [
        (
            "physical",
            "select pg_create_physical_replication_slot('physical')",
            "physical slot",
        ),
        (
            "other_plugin",
            "select pg_create_logical_replication_slot('other_plugin', 'test_decoding')",
            "not pgoutput",
        ),
    ] {
        client.batch_execute(sql).await.unwrap();
        let slot = read_slot(&client, name).await.unwrap().unwrap();
        assert!(slot.state.fault.unwrap().contains(said), "{name}");
    }
}

/// The one thing that loses a slot in everyday life.
#[tokio::test]
async fn a_slot_that_kept_too_much_log_is_lost() {
    let server = PostgresServer::options()
        .setting("max_slot_wal_keep_size", "1MB")
        .setting("min_wal_size", "32MB")
        .setting("max_wal_size", "32MB");
    let server = server.start().await.unwrap();
    let client = server.address().connect_as_superuser().await.unwrap();
    let sql = format!("select pg_create_logical_replication_slot('{NAME}', 'pgoutput')");
    client.batch_execute(&sql).await.unwrap();
    let lost = testbed::wait::until("the slot is lost", Duration::from_secs(60), async || {
        let write = "select pg_switch_wal(); create table if not exists t (x text); \
                     insert into t select repeat('x', 1000) from generate_series(1, 5000); \
                     checkpoint";
        client.batch_execute(write).await.unwrap();
        let slot = read_slot(&client, NAME).await.unwrap().unwrap();
        slot.state.fault.is_some()
    });
    lost.await.unwrap();
    let url = server.url("postgres", "postgres");
    let startup = Startup {
        application_name: "outbox-sidecar/policy".to_owned(),
        wal_sender_timeout: Duration::from_secs(4),
    };
    let mut connection = Replication::connect(&Address::parse(&url).unwrap(), &startup)
        .await
        .unwrap();
    let refused = connection.start_replication(NAME, "any").await.unwrap_err();
    assert_eq!(
        refused.kind(),
        outbox_core::relay::FailureKind::SlotInvalidated,
        "{refused}"
    );
}
