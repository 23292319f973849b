//! What a relay makes of requests, on a real server.

use outbox_core::relay::{
    FailureKind, FinishedRequest, KeyAfter, LeftToPublish, RefusedAgain, ReplayedMessage,
    RequestPart, RequestPlace, SourceFailure,
};
use outbox_core::sink::RefusalReason;
use outbox_core::{Lsn, MessageId, Position, RequestId, SystemId};
use uuid::Uuid;

use super::super::claim::Writer;
use super::super::stuck_database::Database;
use super::PartLimits;

const SYSTEM_ID: SystemId = SystemId(42);
const ALL: PartLimits = PartLimits {
    from: 0,
    messages_max: 1000,
    bytes_max: 1 << 20,
};

/// A transaction that has ended.
const XID: u32 = 1;

impl Database {
    /// Sets messages aside at (16 n, 0), each given by its key and whether it was refused itself.
    async fn park(&self, messages: &[(&str, bool)]) {
        let sql = "insert into outbox.parked
                       (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id, destination,
                        key, type, content_type, payload, headers, created_at, reason, error,
                        attempts, blocks_key)
                   select 'tests', '42', 7, ('0/' || to_hex($1::int8 * 16))::pg_lsn, 0, 1, now(), $2, 'd',
                          $3, 'T', 'text/plain', convert_to($1::text, 'UTF8'), '{\"h\": \"v\"}',
                          '2026-11-21 05:00:00.000001+00',
                          case when $4 then 'too-large' else 'key-blocked' end, 'e', 1,
                          $4 and not exists (select from outbox.parked where key = $3)";
        for (number, (key, refused)) in (1_i64..).zip(messages) {
            let id = Uuid::from(id(number));
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&number, &id, key, refused];
            self.client.execute(sql, &values).await.unwrap();
        }
    }

    /// Asks for messages by their numbers.
    async fn ask(&self, kind: &str, numbers: &[i64]) -> RequestId {
        let sql = "with request as (
                       insert into outbox.request (relay, kind, chosen, actor, note)
                       values ('tests', $1, $2, 'somebody', 'why') returning id
                   ), numbered as (
                       select id, row_number() over (order by commit_lsn) - 1 as number
                       from outbox.parked where id = any($3)
                   ), changed as (
                       update outbox.parked as p
                       set state = 'replaying', request = request.id, request_index = n.number,
                           replays = p.replays + 1
                       from numbered as n, request where n.id = p.id
                   )
                   select id from request";
        let ids: Vec<Uuid> = numbers
            .iter()
            .map(|number| Uuid::from(id(*number)))
            .collect();
        let chosen = i64::try_from(numbers.len()).unwrap();
        let row = self.client.query_one(sql, &[&kind, &chosen, &ids]).await;
        request_id(row.unwrap().get(0))
    }

    async fn take(
        &mut self,
        request: RequestId,
        limits: PartLimits,
    ) -> Result<RequestPart, SourceFailure> {
        self.take_at(place(request, 0x1000), limits).await
    }

    async fn take_at(
        &mut self,
        place: RequestPlace,
        limits: PartLimits,
    ) -> Result<RequestPart, SourceFailure> {
        let sql =
            "select (xid::text::numeric % 4294967296)::int8 from outbox.request where id = $1";
        let id = Uuid::from_bytes(*place.id.as_bytes());
        let row = self.client.query_opt(sql, &[&id]).await.unwrap();
        let xid = row.map_or(place.xid, |row| row.get::<_, i64>(0) as u32);
        self.take_as(RequestPlace { xid, ..place }, limits).await
    }

    /// As the log says, whoever wrote it.
    async fn take_as(
        &mut self,
        place: RequestPlace,
        limits: PartLimits,
    ) -> Result<RequestPart, SourceFailure> {
        let (writer, claim) = (writer(&self.slot), self.claim);
        let client = &mut self.client;
        writer.take(client, claim, SYSTEM_ID, place, limits).await
    }

    /// The numbers of the messages that are to be published.
    async fn taken(&mut self, request: RequestId) -> Vec<i64> {
        match self.take(request, ALL).await {
            Ok(RequestPart::Messages { messages, .. }) => numbers(&messages),
            other => panic!("{other:?}"),
        }
    }

    async fn put_back(&mut self, request: RequestId, refused: &[u32]) -> LeftToPublish {
        let again = |number: &u32| RefusedAgain {
            number: *number,
            id: id(i64::from(*number)),
            position: position(0),
            destination: "d".into(),
            key: None,
            reason: RefusalReason::NotAuthorised,
            error: "no\0t".to_owned(),
        };
        let refused: Vec<RefusedAgain> = refused.iter().map(again).collect();
        let (writer, claim) = (writer(&self.slot), self.claim);
        let client = &mut self.client;
        let left = writer
            .put_back(client, claim, request, &refused, 1000)
            .await;
        left.unwrap()
    }

    async fn finish(&mut self, request: RequestId) -> FinishedRequest {
        let (writer, claim) = (writer(&self.slot), self.claim);
        writer
            .finish(&mut self.client, claim, request)
            .await
            .unwrap()
    }

    /// Of each message its state, and whether its key waits from it on: `w`, `r`, `p` (published), `s`,
    /// in capitals where the key waits.
    async fn states(&self) -> String {
        let sql = "select string_agg(case when blocks_key and state in ('waiting', 'replaying')
                                          then upper(s) else s end, '' order by commit_lsn)
                   from outbox.parked, lateral (
                       select case state when 'waiting' then 'w' when 'replaying' then 'r'
                                         when 'replayed' then 'p' else 's' end as s) as l";
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }
}

fn writer(slot: &str) -> Writer<'_> {
    static SCHEMA: std::sync::LazyLock<outbox_core::schema::SchemaName> =
        std::sync::LazyLock::new(Default::default);
    Writer {
        schema: &SCHEMA,
        relay: "tests",
        slot,
    }
}

fn id(number: i64) -> MessageId {
    MessageId::from_bytes(i128::from(number).to_be_bytes())
}

fn request_id(id: Uuid) -> RequestId {
    RequestId::from_bytes(id.into_bytes())
}

fn position(commit_lsn: u64) -> Position {
    Position {
        commit_lsn: Lsn::new(commit_lsn),
        index: 0,
    }
}

fn place(id: RequestId, commit_lsn: u64) -> RequestPlace {
    RequestPlace {
        id,
        position: position(commit_lsn),
        xid: XID,
    }
}

fn numbers(messages: &[ReplayedMessage]) -> Vec<i64> {
    let payload = |message: &ReplayedMessage| message.row.payload.clone().unwrap();
    let number = |message| {
        String::from_utf8(payload(message).to_vec())
            .unwrap()
            .parse()
            .unwrap()
    };
    messages.iter().map(number).collect()
}

fn key(key: &str, blocked_from: Option<u64>) -> KeyAfter {
    KeyAfter {
        destination: "d".to_owned(),
        key: key.to_owned(),
        blocked_from: blocked_from.map(position),
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, SourceFailure>) -> FailureKind {
    result.unwrap_err().kind
}

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
    assert_eq!((changed.replays, changed.timeline.0), (1, 7));
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
async fn a_logical_message_of_another_transaction_is_none_of_the_request_that_it_names() {
    let mut database = Database::new().await;
    database.park(&[("a", true)]).await;
    let request = database.ask("replay", &[1]).await;
    let named = database.take_as(place(request, 0x2000), ALL).await;
    assert_eq!(named, Ok(RequestPart::Unknown));
    assert_eq!(database.taken(request).await, [1]);
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
