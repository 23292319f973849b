use std::time::Duration;

use outbox_core::relay::{FailureKind, StreamEvent};
use testbed::provision::PostgresVersion;
use testbed::{PostgresServer, Shutdown};

use super::outbox::Outbox;

/// Well below the server's own limits.
const SHUTDOWN_MAX: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_in_good_order_is_no_breach_of_the_protocol() {
    let server = PostgresServer::start().await.unwrap();
    let outbox = Outbox::new(server.address()).await;
    let mut stream = outbox.stream().await;
    let insert = "insert into outbox.message (destination, type) values ('d', 't')";
    outbox.run(insert).await;
    let (_, end) = stream.rows(1).await;
    stream.confirmed.confirm(end);
    drop(outbox);
    server.request_stop(Shutdown::Fast).unwrap();
    // Confirm what it asks for, as an idle relay does.
    while let Some(event) = stream.next().await {
        if let StreamEvent::Keepalive {
            wal_end,
            reply_requested: true,
        } = event
        {
            stream.confirmed.confirm(wal_end);
        }
    }
    let error = stream.end().await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::ServerShutdown, "{error}");
    server.stopped(SHUTDOWN_MAX).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfirmed_position_is_repeated_without_a_flood() {
    let server = PostgresServer::start().await.unwrap();
    let outbox = Outbox::new(server.address()).await;
    let mut stream = outbox.stream().await;
    let insert = "insert into outbox.message (destination, type) values ('d', 't')";
    outbox.run(insert).await;
    let _ = stream.rows(1).await;
    drop(outbox);
    server.request_stop(Shutdown::Fast).unwrap();
    let mut requests = 0;
    let started = std::time::Instant::now();
    while requests < 50 {
        if let Some(StreamEvent::Keepalive {
            reply_requested: true,
            ..
        }) = stream.next().await
        {
            requests += 1;
        }
    }
    // At most one answer in ten milliseconds, so at most one new request.
    assert!(started.elapsed() >= Duration::from_millis(40 * 10));
    stream.close().await;
    server.stopped(SHUTDOWN_MAX).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_vanishes_ends_the_stream() {
    for version in [PostgresVersion::V15, PostgresVersion::V18] {
        let server = PostgresServer::options().version(version);
        let server = server.start().await.unwrap();
        let outbox = Outbox::new(server.address()).await;
        let drop_publication = format!("drop publication {}", outbox.name);
        outbox.run(&drop_publication).await;
        let stream = outbox.stream().await;
        let insert = "insert into outbox.message (destination, type) values ('d', 't')";
        outbox.run(insert).await;
        let error = stream.end().await.unwrap_err();
        assert_eq!(
            error.kind(),
            FailureKind::PublicationMissing,
            "{version:?}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_unreachable() {
    let server = PostgresServer::start().await.unwrap();
    let outbox = Outbox::new(server.address()).await;
    let stream = outbox.stream().await;
    server.kill().await.unwrap();
    let error = stream.end().await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unreachable, "{error}");
    let error = outbox.connect().await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unreachable, "{error}");
}
