//! PostgreSQL as tests need it: survives what they do to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test"
)]

use std::time::{Duration, Instant};

use testbed::{PostgresServer, Shutdown, shared_postgres};

async fn rows(server: &PostgresServer, database: &str) -> i64 {
    let client = server.connect("postgres", database).await.unwrap();
    client
        .query_one("select count(*) from t", &[])
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn data_survives_a_kill_and_every_shutdown() {
    let started = Instant::now();
    let server = PostgresServer::start().await.unwrap();
    println!("first start took {:?}", started.elapsed());
    let database = server.create_database().await.unwrap();
    {
        let client = server.connect("postgres", &database).await.unwrap();
        client
            .batch_execute("create table t as select generate_series(1, 1000) as n")
            .await
            .unwrap();
        // A busy backend must die with its postmaster, or the next start would fail.
        tokio::spawn(async move { drop(client.batch_execute("select pg_sleep(1000)").await) });
    }
    let first = server.pid().unwrap();
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    assert_ne!(server.pid().unwrap(), first);
    assert_eq!(rows(&server, &database).await, 1000);
    for shutdown in [Shutdown::Smart, Shutdown::Fast, Shutdown::Immediate] {
        server.stop(shutdown).await.unwrap();
        assert!(server.connect("postgres", &database).await.is_err());
        let started = Instant::now();
        server.restart().await.unwrap();
        println!("restart after {shutdown:?} took {:?}", started.elapsed());
        assert_eq!(rows(&server, &database).await, 1000);
    }
}

#[tokio::test]
async fn a_frozen_server_answers_once_thawed() {
    let server = PostgresServer::start().await.unwrap();
    let client = server.connect("postgres", "postgres").await.unwrap();
    server.freeze().unwrap();
    let question = client.query_one("select 42", &[]);
    tokio::pin!(question);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut question).await;
    assert!(early.is_err(), "a frozen server must not answer");
    server.thaw().unwrap();
    assert_eq!(question.await.unwrap().get::<_, i32>(0), 42);
}

#[tokio::test]
async fn roles_log_in_with_scram_where_pg_hba_says_so() {
    let server = PostgresServer::options()
        .hba("host all relay 127.0.0.1/32 scram-sha-256")
        .setting("max_replication_slots", "3")
        .start()
        .await
        .unwrap();
    let admin = server.connect("postgres", "postgres").await.unwrap();
    admin
        .batch_execute("create role relay login password 'first'")
        .await
        .unwrap();
    let slots = admin
        .query_one("show max_replication_slots", &[])
        .await
        .unwrap();
    assert_eq!(slots.get::<_, String>(0), "3");
    let address = server.address();
    let connect = async |password: &str| {
        let url = address.url_with_password("relay", password, "postgres");
        tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .is_ok()
    };
    assert!(connect("first").await);
    assert!(!connect("wrong").await);
    server
        .set_hba(&["host all relay 127.0.0.1/32 reject"])
        .await
        .unwrap();
    assert!(!connect("first").await);
    server.set_hba(&[]).await.unwrap();
    assert!(connect("wrong").await, "trusted, whatever the password");
}

#[tokio::test]
async fn the_socket_works_and_the_shared_server_is_one() {
    let shared = shared_postgres().await.unwrap();
    assert_eq!(shared, shared_postgres().await.unwrap());
    assert_ne!(
        shared.create_database().await.unwrap(),
        shared.create_database().await.unwrap()
    );

    let own = PostgresServer::start().await.unwrap();
    let url = own.socket_url("postgres", "postgres");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client.simple_query("select 1").await.unwrap();
}

/// A server, and a database on it with an empty table `t`.
async fn with_a_table() -> (PostgresServer, String) {
    let server = PostgresServer::start().await.unwrap();
    let database = server.create_database().await.unwrap();
    let client = server.connect("postgres", &database).await.unwrap();
    client
        .batch_execute("create table t (n int)")
        .await
        .unwrap();
    (server, database)
}

/// How many rows the server has after one more was written.
async fn one_more(server: &PostgresServer, database: &str) -> i64 {
    let client = server.connect("postgres", database).await.unwrap();
    client
        .batch_execute("insert into t values (1)")
        .await
        .unwrap();
    rows(server, database).await
}

#[tokio::test]
async fn a_snapshot_is_put_back_or_becomes_a_server_of_its_own() {
    let (server, database) = with_a_table().await;
    let snapshot = server.snapshot().await.unwrap();
    assert_eq!(one_more(&server, &database).await, 1);
    let copy = server.start_copy(&snapshot).await.unwrap();
    assert_eq!(rows(&copy, &database).await, 0);
    server.put_back(&snapshot).await.unwrap();
    assert_eq!(rows(&server, &database).await, 0);
    assert_eq!(one_more(&server, &database).await, 1);
    assert_eq!(rows(&copy, &database).await, 0, "a server of its own");
}

#[tokio::test]
async fn a_standby_follows_and_takes_the_place() {
    let (server, database) = with_a_table().await;
    let standby = server.start_standby("standby").await.unwrap();
    assert_eq!(one_more(&server, &database).await, 1);
    standby.caught_up(&server).await.unwrap();
    server.kill().await.unwrap();
    standby.promote().await.unwrap();
    assert_eq!(one_more(&standby, &database).await, 2);
}
