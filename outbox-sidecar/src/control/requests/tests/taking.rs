//! What is taken, when, and from whom.

use std::time::Duration;

use super::super::PartLimits;
use super::support::*;
use crate::control::{TAKE_TURN, name_lock_holders};
use outbox_core::RequestId;
use outbox_core::relay::{FailureKind, RequestPart, RequestPlace};
use tokio_postgres::Client;
use uuid::Uuid;

#[tokio::test]
async fn what_waits_behind_a_message_is_taken_along_and_its_key_is_free() {
    let mut database = Database::new().await;
    database
        .park(&[("a", true), ("b", true), ("a", false), ("a", false)])
        .await;
    let request = database.ask("replay", &[1]).await;
    assert_eq!(database.taken(request).await, [1, 3, 4]);
    assert_eq!(database.states().await, "RWrr");
    let outcome = database.finish(request).await;
    assert_eq!(
        (outcome.published, outcome.skipped, outcome.returned),
        (3, 0, 0)
    );
    assert_eq!(outcome.keys, [key("a", None)]);
    assert_eq!(database.states().await, "pWpp");
    // Once more: the answer was lost.
    assert_eq!(database.finish(request).await, outcome);
    assert!(database.taken(request).await.is_empty());
}

#[tokio::test]
async fn up_to_what_was_refused_itself() {
    let mut database = Database::new().await;
    database
        .park(&[("a", true), ("a", false), ("a", true), ("a", false)])
        .await;
    let request = database.ask("replay", &[1]).await;
    assert_eq!(database.taken(request).await, [1, 2]);
    // The key never is without one that holds it back.
    assert_eq!(database.states().await, "RrWw");
    let outcome = database.finish(request).await;
    assert_eq!(outcome.keys, [key("a", Some(48))]);
}

#[tokio::test]
async fn and_up_to_what_a_later_request_has() {
    let mut database = Database::new().await;
    database
        .park(&[("a", true), ("a", false), ("a", false), ("a", false)])
        .await;
    let first = database.ask("replay", &[1, 2]).await;
    let second = database.ask("replay", &[3]).await;
    assert_eq!(database.taken(first).await, [1, 2]);
    assert_eq!(database.states().await, "RrRw");
    assert_eq!(database.finish(first).await.keys, [key("a", Some(48))]);
    assert_eq!(database.taken(second).await, [3, 4]);
    assert_eq!(database.finish(second).await.keys, [key("a", None)]);
}

#[tokio::test]
async fn a_message_without_its_predecessors_waits_on() {
    let mut database = Database::new().await;
    database
        .park(&[("a", true), ("a", false), ("a", false), ("b", true)])
        .await;
    let request = database.ask("replay", &[2, 4]).await;
    assert_eq!(database.taken(request).await, [4]);
    assert_eq!(database.states().await, "WwwR");
    let outcome = database.finish(request).await;
    assert_eq!((outcome.published, outcome.returned), (1, 1));
    // One that a later request has is a predecessor, too.
    let early = database.ask("replay", &[2]).await;
    let late = database.ask("replay", &[1]).await;
    assert!(database.taken(early).await.is_empty());
    database.finish(early).await;
    assert_eq!(database.taken(late).await, [1, 2, 3]);
}

#[tokio::test]
async fn who_stands_in_the_way_is_named() {
    let mut database = Database::new().await;
    database.park(&[("a", true)]).await;
    let request = database.ask("replay", &[1]).await;
    let server = testbed::shared_postgres().await.unwrap();
    let name = database.client.query_one("select current_database()", &[]);
    let name: String = name.await.unwrap().get(0);
    let operator = server.connect(server.superuser(), &name).await.unwrap();
    let open = "set application_name = 'by hand'; begin; select from outbox.relay for update";
    operator.batch_execute(open).await.unwrap();
    let pid = operator.query_one("select pg_backend_pid()", &[]).await;
    let pid: i32 = pid.unwrap().get(0);
    let patience = "set lock_timeout = '100ms'";
    database.client.batch_execute(patience).await.unwrap();
    let taken = database.take(request, ALL).await;
    let of = (&database.schema, "tests");
    let failure = name_lock_holders(&database.client, of, taken.unwrap_err()).await;
    assert_eq!(failure.kind, FailureKind::Locked, "{failure}");
    for word in ["\"by hand\"", &format!("pg_terminate_backend({pid})")] {
        assert!(failure.message.contains(word), "{failure}");
    }
    operator.batch_execute("rollback").await.unwrap();
    assert_eq!(database.taken(request).await, [1]);
}

#[tokio::test]
async fn whoever_chooses_is_waited_for() {
    let mut database = Database::new().await;
    database.park(&[("a", true), ("a", false)]).await;
    let request = database.ask("replay", &[1]).await;
    let server = testbed::shared_postgres().await.unwrap();
    let name = database.client.query_one("select current_database()", &[]);
    let name: String = name.await.unwrap().get(0);
    let operator = server.connect(server.superuser(), &name).await.unwrap();
    operator.batch_execute("begin").await.unwrap();
    let schema = database.schema.quoted();
    operator
        .query(TAKE_TURN, &[&"tests", &schema])
        .await
        .unwrap();
    let pid = database.client.query_one("select pg_backend_pid()", &[]);
    let pid: i32 = pid.await.unwrap().get(0);
    let take_it_away = async {
        let waits = "select exists (select from pg_locks where not granted and pid = $1)";
        testbed::wait::until("the relay waits", Duration::from_secs(30), async || {
            operator.query_one(waits, &[&pid]).await.unwrap().get(0)
        })
        .await
        .unwrap();
        // Somebody else's by now: it is no follower that merely waits.
        let change =
            "update outbox.parked set reason = 'too-large' where commit_lsn = '0/20'; commit";
        operator.batch_execute(change).await.unwrap();
    };
    let (taken, ()) = tokio::join!(database.taken(request), take_it_away);
    assert_eq!(taken, [1]);
    assert_eq!(database.states().await, "RW");
}

#[tokio::test]
async fn a_request_comes_in_parts() {
    let mut database = Database::new().await;
    database
        .park(&[("a", true), ("b", true), ("c", true), ("d", true)])
        .await;
    let request = database.ask("replay", &[1, 2, 3, 4]).await;
    let part = async |database: &mut Database, limits| match database.take(request, limits).await {
        Ok(RequestPart::Messages { messages, next, .. }) => (numbers(&messages), next),
        other => panic!("{other:?}"),
    };
    let two = PartLimits {
        messages_max: 2,
        ..ALL
    };
    assert_eq!(part(&mut database, two).await, (vec![1, 2], Some(2)));
    let from = PartLimits { from: 2, ..two };
    assert_eq!(part(&mut database, from).await, (vec![3, 4], None));
    // One at least, however few bytes.
    let few = PartLimits {
        bytes_max: 1,
        from: 3,
        ..ALL
    };
    assert_eq!(part(&mut database, few).await, (vec![4], None));
    let few = PartLimits {
        bytes_max: 50,
        ..ALL
    };
    assert_eq!(part(&mut database, few).await, (vec![1, 2], Some(2)));
}

#[tokio::test]
async fn a_message_comes_as_it_was_or_as_the_request_says() {
    let mut database = Database::new().await;
    database.park(&[("a", true), ("a", false)]).await;
    let request = database.ask("replay", &[1]).await;
    let edit = "update outbox.request set destination = 'elsewhere', edited = true, type = 'U',
                       content_type = 'c', payload = null, headers = '{}'";
    database.client.batch_execute(edit).await.unwrap();
    let Ok(RequestPart::Messages { mut messages, .. }) = database.take(request, ALL).await else {
        panic!("nothing to publish");
    };
    // What goes elsewhere goes first, by itself.
    let rest = PartLimits { from: 1, ..ALL };
    let Ok(RequestPart::Messages { messages: rest, .. }) = database.take(request, rest).await
    else {
        panic!("nothing behind it");
    };
    messages.extend(rest);
    let [changed, follower] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(
        (
            &*changed.row.destination,
            &*changed.row.message_type,
            &changed.row.payload
        ),
        ("elsewhere", "U", &None)
    );
    assert_eq!(changed.replays, 1);
    assert_eq!(changed.origin.unwrap().0.0, 7);
    assert_eq!(
        (changed.row.id, changed.row.key.as_deref()),
        (id(1), Some("a"))
    );
    assert_eq!(&*follower.row.destination, "d");
    assert_eq!(follower.row.headers, r#"{"h": "v"}"#);
    assert_eq!(follower.row.payload.as_deref(), Some(&b"2"[..]));
    assert_eq!(follower.row.created_at.as_unix_us(), 1_795_237_200_000_001);
    let kept = "select convert_from(payload, 'UTF8') || type from outbox.parked where id = $1";
    let row = database
        .client
        .query_one(kept, &[&Uuid::from(id(1))])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "1T", "the original is kept");
    let noted = "select actor || note from outbox.parked where id = $1";
    let row = database
        .client
        .query_one(noted, &[&Uuid::from(id(2))])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "somebodywhy");
}

#[tokio::test]
async fn a_request_that_nobody_sees_yet_is_told_from_one_that_is_not() {
    let mut database = Database::new().await;
    let server = testbed::shared_postgres().await.unwrap();
    let name: String = {
        let row = database
            .client
            .query_one("select current_database()", &[])
            .await;
        row.unwrap().get(0)
    };
    let other = server.connect(server.superuser(), &name).await.unwrap();
    let insert =
        "begin; insert into outbox.request (relay, kind, chosen) values ('tests', 'skip', 0)";
    other.batch_execute(insert).await.unwrap();
    let row = other
        .query_one("select id, xid::text from outbox.request", &[])
        .await
        .unwrap();
    let full: u64 = row.get::<_, String>(1).parse().unwrap();
    let place = RequestPlace {
        xid: full as u32,
        ..place(request_id(row.get(0)), 0x1000)
    };
    assert_eq!(
        database.take_at(place, ALL).await,
        Ok(RequestPart::NotVisible)
    );
    other.batch_execute("commit").await.unwrap();
    assert!(matches!(
        database.take_at(place, ALL).await,
        Ok(RequestPart::Messages { messages, .. }) if messages.is_empty()
    ));
    let unknown = RequestPlace {
        id: RequestId::from_bytes([9; 16]),
        ..place
    };
    assert_eq!(
        database.take_at(unknown, ALL).await,
        Ok(RequestPart::Unknown)
    );
}

#[tokio::test]
async fn a_request_that_is_none_is_told_without_a_write_and_to_nobody_else() {
    let mut database = Database::new().await;
    let versions = "select xmin::text from outbox.relay where name = 'tests'";
    let version =
        async |client: &Client| -> String { client.query_one(versions, &[]).await.unwrap().get(0) };
    let before = version(&database.client).await;
    let unknown = RequestId::from_bytes([9; 16]);
    let taken = database.take(unknown, ALL).await;
    assert_eq!(taken, Ok(RequestPart::Unknown));
    assert_eq!(version(&database.client).await, before);
    // Another server knows nothing of our requests, and must not say that there are none.
    database.claim.walsender_pid += 1;
    let taken = database.take(unknown, ALL).await;
    assert_eq!(kind(taken), FailureKind::ClaimSuperseded);
}

#[tokio::test]
async fn a_logical_message_of_another_transaction_is_none_of_the_request_that_it_names() {
    let mut database = Database::new().await;
    database.park(&[("a", true)]).await;
    let request = database.ask("replay", &[1]).await;
    let named = database.take_as(place(request, 0x2000), ALL).await;
    assert_eq!(named, Ok(RequestPart::Unknown));
    assert_eq!(database.taken(request).await, [1]);
}

#[tokio::test]
async fn a_request_has_one_place_and_one_relay_carries_it_out() {
    let mut database = Database::new().await;
    database.park(&[("a", true)]).await;
    let request = database.ask("replay", &[1]).await;
    database.taken(request).await;
    let elsewhere = database.take_at(place(request, 0x2000), ALL).await;
    assert_eq!(kind(elsewhere), FailureKind::ParkedDiffers);
    database.claim.epoch -= 1;
    let taken = database.take(request, ALL).await;
    assert_eq!(kind(taken), FailureKind::ClaimSuperseded);
    let (writer, claim) = (writer(&database.slot), database.claim);
    let client = &mut database.client;
    let back = writer.put_back(client, claim, request, &[], 0).await;
    assert_eq!(kind(back), FailureKind::ClaimSuperseded);
    let finished = writer.finish(client, claim, request).await;
    assert_eq!(kind(finished), FailureKind::ClaimSuperseded);
    assert_eq!(database.states().await, "R");
}
