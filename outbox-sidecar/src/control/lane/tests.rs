use std::time::Duration;

use outbox_core::relay::{Event, Stop};
use outbox_core::schema::SchemaName;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;

use super::super::MadeFor;
use super::{ControlLane, ControlSettings, Request};
use crate::source::connection::Address;

const SOON: Duration = Duration::from_secs(60);

fn settings(url: &str, slot: &str) -> ControlSettings {
    ControlSettings {
        address: Address::parse(url).unwrap(),
        application_name: "outbox-sidecar/tests/lane".to_owned(),
        schema: SchemaName::default(),
        relay: "tests".to_owned(),
        slot: slot.to_owned(),
        publication: "no_such_publication".to_owned(),
        made_for: MadeFor::default(),
        run: uuid::Uuid::now_v7(),
    }
}

/// Whatever is asked, it is asked on a connection.
async fn connect(lane: &ControlLane) {
    let (done, written) = oneshot::channel();
    lane.request(Request::RecordHold(Stop::Drained, done));
    written.await.unwrap().unwrap();
}

#[tokio::test]
async fn partitions_are_made_by_the_next_connection_where_one_ended_over_them() {
    let server = testbed::shared_postgres().await.unwrap();
    let name = server.create_database().await.unwrap();
    let client = server.connect(server.superuser(), &name).await.unwrap();
    outbox_core::schema::migrate(&client).await.unwrap();
    // Nobody else makes partitions while this table cannot be looked at.
    let lock = "begin; lock table outbox.message in access exclusive mode";
    client.batch_execute(lock).await.unwrap();
    let (answers, mut events) = unbounded_channel();
    let url = server.url(server.superuser(), &name);
    let lane = ControlLane::start(settings(&url, "no_such_slot"), answers);
    connect(&lane).await;
    let end = "select coalesce(bool_or(pg_terminate_backend(a.pid)), false)
               from pg_locks as l join pg_stat_activity as a using (pid)
               where a.datname = current_database() and not l.granted
                 and a.query like '%maintain_partitions%'";
    testbed::wait::until("the connection waits, and is ended", SOON, async || {
        client.query_one(end, &[]).await.unwrap().get(0)
    })
    .await
    .unwrap();
    while let Some(Event::PublicationSeen(_)) = events.recv().await {}
    client.batch_execute("rollback").await.unwrap();
    connect(&lane).await;
    let mut gauges = lane.gauges().clone();
    let made = gauges.wait_for(|gauges| gauges.partitions_ahead > Some(0));
    tokio::time::timeout(SOON, made).await.unwrap().unwrap();
}

/// The name, or the first host, may have come to stand for another server.
#[tokio::test]
async fn asked_to_reconnect_the_next_statement_goes_over_a_new_connection() {
    let server = testbed::shared_postgres().await.unwrap();
    let name = server.create_database().await.unwrap();
    let client = server.connect(server.superuser(), &name).await.unwrap();
    outbox_core::schema::migrate(&client).await.unwrap();
    let newest = async || -> Option<i32> {
        let sql = "select (array_agg(pid order by backend_start desc))[1] from pg_stat_activity
                   where datname = $1 and application_name = 'outbox-sidecar/tests/lane'";
        client.query_one(sql, &[&name]).await.unwrap().get(0)
    };
    let url = server.url(server.superuser(), &name);
    let (answers, mut events) = unbounded_channel();
    let lane = ControlLane::start(settings(&url, "no_such_slot"), answers);
    connect(&lane).await;
    let first = newest().await;
    connect(&lane).await;
    assert_eq!(newest().await, first, "one connection serves");
    lane.request(Request::Reconnect);
    connect(&lane).await;
    assert_ne!(newest().await, first);
    let ended = async { while let Some(Event::PublicationSeen(_)) = events.recv().await {} };
    tokio::time::timeout(SOON, ended).await.unwrap();
}
