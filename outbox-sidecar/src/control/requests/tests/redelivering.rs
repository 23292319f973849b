//! What had been published is to be published once more.

use super::super::PartLimits;
use super::support::*;
use outbox_core::relay::{FinishedRequest, RequestPart};
use outbox_core::{Lsn, RequestId};
use uuid::Uuid;

impl Database {
    /// Asks for messages of these numbers once more.
    async fn ask_again(&self, numbers: &[i64], destination: Option<&str>) -> RequestId {
        let sql = "with request as (
                       insert into outbox.request (relay, kind, chosen, destination)
                       values ('tests', 'redeliver', cardinality($1::int8[]), $3) returning id
                   ), copied as (
                       insert into outbox.redelivery
                           (request, number, id, destination, key, type, content_type, payload,
                            headers, created_at)
                       select request.id, g.place - 1, g.id, 'd', 'k', 'T', 'text/plain',
                              convert_to(g.number::text, 'UTF8'), '{\"h\": \"v\"}',
                              '2026-11-21 05:00:00.000001+00'
                       from request,
                            unnest($1::int8[], $2::uuid[]) with ordinality as g (number, id, place)
                   )
                   select id from request";
        let ids: Vec<Uuid> = numbers
            .iter()
            .map(|number| Uuid::from(id(*number)))
            .collect();
        let row = self
            .client
            .query_one(sql, &[&numbers, &ids, &destination])
            .await;
        request_id(row.unwrap().get(0))
    }

    /// The copies that are left: number, and why it was left out.
    async fn copies(&self) -> Vec<(i64, Option<String>)> {
        let sql = "select number, reason from outbox.redelivery order by request, number";
        let rows = self.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

fn outcome(published: u64, returned: u64) -> FinishedRequest {
    FinishedRequest {
        is_redelivery: true,
        published,
        returned,
        ..FinishedRequest::default()
    }
}

#[tokio::test]
async fn copies_are_published_in_parts_and_forgotten() {
    let mut database = Database::new().await;
    let request = database.ask_again(&[7, 8, 9], Some("elsewhere")).await;
    let two = PartLimits {
        messages_max: 2,
        ..ALL
    };
    for _ in 0..2 {
        let Ok(RequestPart::Messages { messages, next, .. }) = database.take(request, two).await
        else {
            panic!("nothing to publish");
        };
        assert_eq!((numbers(&messages), next), (vec![7, 8], Some(2)));
        let first = &messages[0];
        assert_eq!((first.origin, first.replays), (None, 1));
        assert_eq!(&*first.row.destination, "elsewhere");
        assert_eq!(first.row.id, id(7));
        assert_eq!(&*first.row.headers, "{\"h\": \"v\"}");
        let created_at = first.row.created_at.as_unix_us();
        assert_eq!(created_at % 1_000_000, 1);
    }
    let rest = PartLimits { from: 2, ..two };
    let Ok(RequestPart::Messages { messages, next, .. }) = database.take(request, rest).await
    else {
        panic!("nothing to publish");
    };
    assert_eq!((numbers(&messages), next), (vec![9], None));
    // The second time its answer was lost.
    for _ in 0..2 {
        assert_eq!(database.finish(request).await, outcome(3, 0));
    }
    assert_eq!(database.copies().await, []);
}

#[tokio::test]
async fn what_is_refused_is_left_out_alone() {
    let mut database = Database::new().await;
    let request = database.ask_again(&[7, 8, 9], None).await;
    assert_eq!(database.taken(request).await, [7, 8, 9]);
    for _ in 0..2 {
        assert_eq!(database.put_back(request, &[1]).await.numbers, [0, 2]);
    }
    assert_eq!(database.taken(request).await, [7, 9]);
    assert_eq!(database.finish(request).await, outcome(2, 1));
    let left = [(1, Some("not-authorised".to_owned()))];
    assert_eq!(database.copies().await, left);
    let error = "select error from outbox.redelivery";
    let row = database.client.query_one(error, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "no\u{fffd}t");
}

#[tokio::test]
async fn what_is_set_aside_by_then_was_never_published() {
    let mut database = Database::new().await;
    database
        .park(&[("a", true), ("b", true), ("c", true), ("d", true)])
        .await;
    let states = "update outbox.parked
                  set state = case id when $1 then 'replayed' when $2 then 'skipped' else state end,
                      request = case when id in ($1, $2) then $3::uuid end,
                      request_index = case id when $1 then 0 when $2 then 1 end,
                      relay = case id when $4 then 'another' else relay end";
    let replay = database.ask("replay", &[]).await;
    let ids = [1, 2, 4].map(|number| Uuid::from(id(number)));
    let replay = Uuid::from_bytes(*replay.as_bytes());
    database
        .client
        .execute(states, &[&ids[0], &ids[1], &replay, &ids[2]])
        .await
        .unwrap();
    let request = database.ask_again(&[1, 2, 3, 4, 5], None).await;
    assert_eq!(database.taken(request).await, [1, 4, 5]);
    assert_eq!(database.finish(request).await, outcome(3, 2));
    let aside = || Some("set-aside".to_owned());
    assert_eq!(database.copies().await, [(1, aside()), (2, aside())]);
    assert_eq!(database.states().await, "psWW");
}

#[tokio::test]
async fn a_redelivery_behind_the_frontier_was_published() {
    let mut database = Database::new().await;
    let requests = [
        database.ask_again(&[1], None).await,
        database.ask_again(&[2], None).await,
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
    assert_eq!(database.copies().await, [(0, None)]);
    let again = database.take_at(place(requests[1], 0x2000), ALL).await;
    assert!(matches!(
        again,
        Ok(RequestPart::Messages { messages, .. }) if numbers(&messages) == [2]
    ));
}
