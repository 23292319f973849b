use outbox_core::TimelineId;
use outbox_core::relay::FailureKind;
use testbed::PostgresServer;
use testbed::provision::PostgresVersion;

use super::outbox::{Outbox, connect};
use crate::source::SourceError;
use crate::source::connection::Address;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_says_who_it_is() {
    let server = testbed::shared_postgres().await.unwrap();
    let outbox = Outbox::without_slot(server).await;
    let mut connection = outbox.connect().await.unwrap();
    let identity = connection.identify_system().await.unwrap();
    let sql = "select system_identifier::text from pg_control_system()";
    let row = outbox.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(identity.system_id.to_string(), row.get::<_, String>(0));
    let history = connection.timeline_history(identity.timeline).await;
    assert!(history.unwrap().entries().is_empty());
    // After an error the connection goes on.
    let unknown = connection.timeline_history(TimelineId(77)).await;
    assert!(matches!(unknown, Err(SourceError::Server { .. })));
    assert_eq!(connection.identify_system().await.unwrap(), identity);
    let sql = "select application_name from pg_stat_activity where pid = $1";
    let pid = connection.server.process_id;
    let row = outbox.client.query_one(sql, &[&pid]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "outbox-sidecar/test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_missing_busy_or_foreign_is_told_apart() {
    let server = testbed::shared_postgres().await.unwrap();
    let outbox = Outbox::new(server).await;
    let mut connection = outbox.connect().await.unwrap();
    let missing = connection.start_replication("outbox_nobody", "p").await;
    assert_eq!(missing.unwrap_err().kind(), FailureKind::SlotMissing);

    let stream = outbox.stream().await;
    let mut second = outbox.connect().await.unwrap();
    let busy = second.start_replication(&outbox.name, &outbox.name).await;
    assert_eq!(busy.unwrap_err().kind(), FailureKind::SlotBusy);
    stream.close().await;
    outbox.drop_slot().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_may_have_any_name() {
    let server = testbed::shared_postgres().await.unwrap();
    let mut outbox = Outbox::new(server).await;
    let slot = outbox.name.clone();
    outbox.name = r#"it's a "back\slash", ü"#.to_owned();
    outbox.create_publication(None).await;
    let mut connection = outbox.connect().await.unwrap();
    let started = connection.start_replication(&slot, &outbox.name).await;
    started.unwrap();
    drop(connection);
    outbox.name = slot;
    outbox.drop_slot().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_logical_log_is_told_from_a_lost_slot() {
    let server = PostgresServer::options().setting("wal_level", "replica");
    let server = server.start().await.unwrap();
    let outbox = Outbox::without_slot(server.address()).await;
    let mut connection = outbox.connect().await.unwrap();
    let created = connection.create_slot("outbox_a", false).await;
    assert_eq!(created.unwrap_err().kind(), FailureKind::NotLogical);
    let started = connection.start_replication("outbox_a", "p").await;
    assert_eq!(started.unwrap_err().kind(), FailureKind::NotLogical);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_proven_in_each_way_that_is_safe() {
    let hba = [
        "host all scram_user 127.0.0.1/32 scram-sha-256",
        "host all md5_user 127.0.0.1/32 md5",
        "host all clear_user 127.0.0.1/32 password",
    ];
    // The last version that stores md5 without a warning.
    let mut options = PostgresServer::options().version(PostgresVersion::V17);
    for line in hba {
        options = options.hba(line);
    }
    let server = options.start().await.unwrap();
    let outbox = Outbox::without_slot(server.address()).await;
    outbox
        .run(
            "set password_encryption = 'scram-sha-256'; \
             create role scram_user login replication password 'pä ss'; \
             create role clear_user login replication password 'pä ss'; \
             set password_encryption = 'md5'; \
             create role md5_user login replication password 'pä ss'; \
             create role plain_user login",
        )
        .await;
    for user in ["scram_user", "md5_user"] {
        connect(&outbox.url_of(user, "pä ss")).await.unwrap();
        let wrong = connect(&outbox.url_of(user, "wrong")).await.unwrap_err();
        assert_eq!(wrong.kind(), FailureKind::AuthenticationRefused, "{wrong}");
        let url = outbox.url_of(user, "x").replacen(":x@", "@", 1);
        let none = connect(&url).await.unwrap_err();
        assert!(matches!(none, SourceError::PasswordMissing), "{none}");
        let mut address = Address::parse(&url).unwrap();
        let secret = std::env::temp_dir().join(testbed::unique::name("password"));
        std::fs::write(&secret, "pä ss\n").unwrap();
        address.set_password_file(secret.clone());
        let startup = super::outbox::startup();
        let set = crate::source::replication::Replication::connect(&address, &startup).await;
        std::fs::remove_file(secret).unwrap();
        set.unwrap();
    }
    let clear = connect(&outbox.url_of("clear_user", "pä ss")).await;
    let clear = clear.unwrap_err();
    assert!(clear.to_string().contains("cleartext"), "{clear}");
    let plain = connect(&outbox.url_of("plain_user", "x")).await;
    let plain = plain.unwrap_err();
    assert_eq!(plain.kind(), FailureKind::PrivilegeRefused, "{plain}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_away_is_passed_over() {
    let server = testbed::shared_postgres().await.unwrap();
    let outbox = Outbox::without_slot(server).await;
    let there = format!("{}:{}", server.host(), server.port());
    let url = outbox
        .url()
        .replacen(&there, &format!("127.0.0.1:1,{there}"), 1);
    connect(&url).await.unwrap();
}
