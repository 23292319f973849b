//! What becomes of what was taken.

use super::super::PartLimits;
use super::support::*;
use outbox_core::Lsn;
use outbox_core::relay::RequestPart;
use uuid::Uuid;

#[tokio::test]
async fn where_no_key_is_held_back_each_message_goes_by_itself() {
    let mut database = Database::new().await;
    database
        .park(&[("a", true), ("a", true), ("a", true)])
        .await;
    let open = "update outbox.parked set blocks_key = false";
    database.client.batch_execute(open).await.unwrap();
    let request = database.ask("replay", &[2]).await;
    assert_eq!(database.taken(request).await, [2]);
    database.put_back(request, &[0]).await;
    assert_eq!(database.states().await, "www");
}

#[tokio::test]
async fn what_is_skipped_is_not_published_and_lets_the_others_go() {
    let mut database = Database::new().await;
    database.park(&[("a", true), ("a", false)]).await;
    let request = database.ask("skip", &[1]).await;
    assert_eq!(database.taken(request).await, [2]);
    let outcome = database.finish(request).await;
    assert_eq!((outcome.published, outcome.skipped), (1, 1));
    let skipped = &outcome.skipped_messages[0];
    assert_eq!((skipped.id, skipped.position), (id(1), position(16)));
    assert_eq!(
        (skipped.key.as_deref(), &*skipped.reason),
        (Some("a"), "too-large")
    );
    assert_eq!(outcome.keys, [key("a", None)]);
    assert_eq!(database.states().await, "sp");
}

#[tokio::test]
async fn what_is_refused_again_waits_and_what_stands_behind_it() {
    let mut database = Database::new().await;
    database
        .park(&[
            ("a", true),
            ("b", true),
            ("a", false),
            ("a", false),
            ("b", false),
        ])
        .await;
    let request = database.ask("replay", &[1, 2, 3]).await;
    assert_eq!(database.taken(request).await, [1, 2, 3, 4, 5]);
    let left = database.put_back(request, &[2]).await;
    assert_eq!(left.numbers, [0, 1, 4]);
    assert_eq!(database.states().await, "RRWwr");
    // The answer was lost; meanwhile somebody asks for it anew.
    let anew = database.ask("replay", &[3]).await;
    assert_eq!(database.put_back(request, &[2]).await.numbers, left.numbers);
    let outcome = database.finish(request).await;
    assert_eq!((outcome.published, outcome.returned), (3, 2));
    assert_eq!(database.states().await, "ppRwp");
    let refused = "select attempts, reason, error from outbox.parked where id = $1";
    let row = database
        .client
        .query_one(refused, &[&Uuid::from(id(3))])
        .await
        .unwrap();
    let refused: (i32, String, String) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(
        refused,
        (2, "not-authorised".to_owned(), "no\u{fffd}t".to_owned())
    );
    assert_eq!(database.taken(anew).await, [3, 4]);
}

#[tokio::test]
async fn what_goes_elsewhere_is_settled_before_what_waits_behind_it_goes() {
    let mut database = Database::new().await;
    database.park(&[("a", true), ("a", false)]).await;
    let request = database.ask("replay", &[1]).await;
    let elsewhere = "update outbox.request set destination = 'elsewhere'";
    database.client.batch_execute(elsewhere).await.unwrap();
    let Ok(RequestPart::Messages { messages, next, .. }) = database.take(request, ALL).await else {
        panic!("nothing to publish");
    };
    assert_eq!((numbers(&messages), next), (vec![1], Some(1)));
    database.put_back(request, &[0]).await;
    let rest = PartLimits { from: 1, ..ALL };
    assert!(matches!(
        database.take(request, rest).await,
        Ok(RequestPart::Messages { messages, next: None, .. }) if messages.is_empty()
    ));
    assert_eq!(database.states().await, "Ww");
}

#[tokio::test]
async fn what_was_chosen_and_must_wait_is_not_taken_along() {
    let mut database = Database::new().await;
    database
        .park(&[("a", true), ("a", false), ("a", false)])
        .await;
    let first = database.ask("replay", &[1]).await;
    let second = database.ask("replay", &[2]).await;
    assert_eq!(database.taken(first).await, [1]);
    database.put_back(first, &[0]).await;
    database.finish(first).await;
    let skip = database.ask("skip", &[1, 3]).await;
    assert!(database.taken(second).await.is_empty());
    database.finish(second).await;
    // 3 is to be skipped, and stands behind 2, which waits again: neither is published.
    assert_eq!(database.taken(skip).await, [2]);
    database.finish(skip).await;
    assert_eq!(database.states().await, "spW");
}

#[tokio::test]
async fn what_lies_behind_the_frontier_was_published_whoever_came_to_note_it() {
    let mut database = Database::new().await;
    database.park(&[("a", true), ("b", true)]).await;
    let requests = [
        database.ask("replay", &[1]).await,
        database.ask("replay", &[2]).await,
    ];
    for (request, commit_lsn) in requests.into_iter().zip([0x1000, 0x2000]) {
        database
            .take_at(place(request, commit_lsn), ALL)
            .await
            .unwrap();
    }
    let (writer, claim) = (writer(&database.slot), database.claim);
    let passed = writer.finish_passed(&mut database.client, claim, SYSTEM_ID, Lsn::new(0x2000));
    passed.await.unwrap();
    assert_eq!(database.states().await, "pR");
}
