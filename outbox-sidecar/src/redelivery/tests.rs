//! Choosing what was published, and asking for it, on a real server. A relay's part is played elsewhere.

use std::num::NonZeroU32;

use outbox_core::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Answer, Order, Plan, RedeliveryError, Selection, Wish, ask, choose, preview};
use crate::operator::{Extent, Progress, Session};
use crate::stuck::tests::support::{Database, SOON, id};

/// So many seconds after the first message.
fn second(number: i64) -> Timestamp {
    Timestamp::from_unix_us((1_700_000_000 + number) * 1_000_000)
}

fn between(from: i64, to: i64) -> Selection {
    Selection {
        from: second(from),
        to: second(to),
        destinations: Vec::new(),
        keys: Vec::new(),
        types: Vec::new(),
        ids: Vec::new(),
        row_filter: None,
    }
}

/// Of all times.
fn everything() -> Selection {
    Selection {
        to: Timestamp::from_unix_us(4_000_000_000_000_000),
        ..between(0, 1)
    }
}

fn wish() -> Wish {
    Wish {
        destination: None,
        actor: Some("anna".to_owned()),
        note: Some("lost its data".to_owned()),
        rate: None,
        wait_max: None,
    }
}

/// A message that is enqueued now.
async fn write(client: &Client, payload: &str) {
    let sql = "insert into outbox.message (destination, type, payload)
               values ('d', 'T', convert_to($1, 'UTF8'))";
    client.execute(sql, &[&payload]).await.unwrap();
}

impl Database {
    /// A message, a transaction of its own, enqueued so many seconds after the first.
    async fn publish(&self, number: u64, destination: &str, key: Option<&str>, at: i64) {
        let sql = "insert into outbox.message (id, destination, key, type, payload, created_at)
                   values ($1, $2, $3, 'T' || $4::int8 % 2, convert_to($4::text, 'UTF8'),
                           to_timestamp(1700000000 + $5::int8))";
        let number_ = i64::try_from(number).unwrap();
        let values: [&(dyn ToSql + Sync); 5] =
            [&Uuid::from(id(number)), &destination, &key, &number_, &at];
        self.client.execute(sql, &values).await.unwrap();
    }

    async fn asked(&self, selection: &Selection, wish: &Wish) -> (Answer, Plan) {
        let session = self.session().await;
        let chosen = choose(&session, selection, Order::CreatedAt).await.unwrap();
        let plan = Plan::of_chosen(&session, Order::CreatedAt).await.unwrap();
        assert_eq!(plan, self.previewed(&session, selection).await);
        let (answer, ended) = ask(&session, wish, &chosen, &Progress::default()).await;
        ended.unwrap();
        (answer, plan)
    }

    async fn previewed(&self, session: &Session, selection: &Selection) -> Plan {
        preview(session, selection, Order::CreatedAt).await.unwrap()
    }

    /// What is to be published once more: destination, payload and type of each, in their order.
    async fn copies(&self) -> String {
        self.text(
            "select string_agg(concat_ws(' ', d.destination, convert_from(d.payload, 'UTF8'), d.type), ', '
                               order by r.requested_at, d.number)
             from outbox.redelivery as d join outbox.request as r on r.id = d.request",
        )
        .await
    }
}

#[tokio::test]
async fn a_range_begins_at_its_first_moment_and_ends_before_its_last() {
    let database = Database::new().await;
    for (number, at) in [(1, 0), (2, 1), (4, 3), (3, 2), (5, 4)] {
        database.publish(number, "d", Some("k"), at).await;
    }
    let (answer, plan) = database.asked(&between(1, 4), &wish()).await;
    assert_eq!((answer.asked, answer.requests.len()), (3, 1));
    let chosen = Extent {
        messages: 3,
        payload_bytes: 3,
        keys: 1,
        destinations: vec![("d".to_owned(), 3)],
        destination_count: 1,
    };
    assert_eq!(plan.chosen, chosen);
    assert_eq!(database.copies().await, "d 2 T0, d 3 T1, d 4 T0");
    let request =
        "select concat_ws(' ', kind, chosen, actor, note, state, relay) from outbox.request";
    assert_eq!(
        database.text(request).await,
        "redeliver 3 anna lost its data requested tests"
    );
}

#[tokio::test]
async fn within_a_transaction_messages_keep_their_order() {
    let database = Database::new().await;
    let several = "insert into outbox.message (destination, type, payload)
                   values ('d', 'T', '4'), ('d', 'T', '1'); commit";
    database.client.batch_execute("begin").await.unwrap();
    write(&database.client, "5").await;
    write(&database.client, "3").await;
    database.client.batch_execute(several).await.unwrap();
    database.asked(&everything(), &wish()).await;
    assert_eq!(database.copies().await, "d 5 T, d 3 T, d 4 T, d 1 T");
}

/// A savepoint has a transaction id of its own.
#[tokio::test]
async fn what_is_written_within_savepoints_keeps_its_order_too() {
    let database = Database::new().await;
    let client = &database.client;
    let transaction = [
        "begin; savepoint s",
        "release s",
        "savepoint s",
        "release s",
    ];
    for (step, payload) in transaction.iter().zip(["1", "2", "3", "4"]) {
        client.batch_execute(step).await.unwrap();
        write(client, payload).await;
    }
    client.batch_execute("commit").await.unwrap();
    database.asked(&everything(), &wish()).await;
    assert_eq!(database.copies().await, "d 1 T, d 2 T, d 3 T, d 4 T");
}

#[tokio::test]
async fn a_request_has_the_copies_that_it_was_written_with_and_no_other() {
    let database = Database::new().await;
    database.publish(1, "d", None, 0).await;
    database.asked(&between(0, 1), &wish()).await;
    let add = "insert into outbox.redelivery
                      (request, number, id, destination, type, content_type, headers, created_at)
               select id, 9, gen_random_uuid(), 'd', 'T', 'c', '{}', now() from outbox.request";
    let refused = database.client.batch_execute(add).await.unwrap_err();
    let error = refused.as_db_error().unwrap();
    assert_eq!(error.code().code(), "23001", "{error}");
    // What no service could have enqueued would hold the relay up.
    let infinite = "with asked as (insert into outbox.request (relay, kind, chosen)
                                   values ('tests', 'redeliver', 1) returning id)
                    insert into outbox.redelivery
                           (request, number, id, destination, type, content_type, headers, created_at)
                    select id, 0, gen_random_uuid(), 'd', 'T', 'c', '{}', 'infinity' from asked";
    let refused = database.client.batch_execute(infinite).await.unwrap_err();
    let error = refused.as_db_error().unwrap();
    assert_eq!(error.code().code(), "23514", "{error}");
}

#[tokio::test]
async fn nothing_is_asked_of_a_relay_that_is_not_set_up() {
    let database = Database::new().await;
    database.publish(1, "d", None, 0).await;
    let session = database.session().await;
    let removed = "delete from outbox.relay";
    database.client.batch_execute(removed).await.unwrap();
    let range = between(0, 1);
    let chosen = choose(&session, &range, Order::CreatedAt).await.unwrap();
    let (_, ended) = ask(&session, &wish(), &chosen, &Progress::default()).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("relay tests is not set up"), "{error}");
    let requests = "select count(*)::text from outbox.request";
    assert_eq!(database.text(requests).await, "0");
}

#[tokio::test]
async fn every_condition_must_hold_and_the_relay_must_carry_it() {
    let database = Database::new().await;
    for number in 0..12 {
        let destination = ["a", "b", "c"][number as usize % 3];
        let key = (number % 4 > 0).then(|| format!("k{}", number % 4));
        database
            .publish(number, destination, key.as_deref(), 0)
            .await;
    }
    let carried = Selection {
        row_filter: Some("destination <> 'c'".to_owned()),
        ..between(0, 1)
    };
    let (session, count) = (database.session().await, async |selection: Selection| {
        let session = database.session().await;
        database
            .previewed(&session, &selection)
            .await
            .chosen
            .messages
    });
    let plan = database.previewed(&session, &carried).await;
    assert_eq!(
        (plan.chosen.messages, plan.chosen.destination_count),
        (8, 2)
    );
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let of = Selection {
        destinations: texts(&["a", "c"]),
        ..carried.clone()
    };
    assert_eq!(count(of).await, 4);
    let keyed = Selection {
        keys: texts(&["k1", "k2"]),
        types: texts(&["T1"]),
        ..carried.clone()
    };
    assert_eq!(count(keyed).await, 2);
    let one = Selection {
        ids: vec![id(4), id(2)],
        ..carried
    };
    assert_eq!(count(one).await, 1);
    assert_eq!(database.everything().await, "");
}

#[tokio::test]
async fn what_was_set_aside_is_left_out_and_what_was_replayed_goes_as_it_went() {
    let database = Database::new().await;
    for number in 1..=6 {
        database
            .publish(number, "d", None, i64::try_from(number).unwrap())
            .await;
    }
    // 5 went along with 4, to its own destination; 6 went corrected.
    let sql = "
        begin;
        insert into outbox.request (id, relay, kind, chosen, destination)
        values ('00000000-0000-0000-0000-0000000000aa', 'tests', 'replay', 1, 'elsewhere');
        commit; begin;
        insert into outbox.request
            (id, relay, kind, chosen, edited, type, content_type, payload, headers)
        values ('00000000-0000-0000-0000-0000000000bb', 'tests', 'replay', 1, true, 'Mended',
                'text/plain', 'm', '{}');
        insert into outbox.parked
            (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id, destination, key, type,
             content_type, payload, headers, created_at, reason, error, attempts, blocks_key, state,
             request, request_index)
        select p.relay, '1', 1, '0/100', p.number, 1, now(), m.id, m.destination, m.key, m.type,
               m.content_type, m.payload, m.headers, m.created_at, 'too-large', 'e', 1, false, p.state,
               ('00000000-0000-0000-0000-0000000000' || p.request)::uuid, p.index
        from (values (1, 'tests', 'waiting', null, null::int), (2, 'tests', 'skipped', 'bb', 7),
                     (3, 'another', 'waiting', null, null), (4, 'tests', 'replayed', 'aa', 0),
                     (5, 'tests', 'replayed', 'aa', 1), (6, 'tests', 'replayed', 'bb', 0))
             as p (number, relay, state, request, index)
             join outbox.message as m on m.payload = convert_to(p.number::text, 'UTF8');
        commit";
    database.client.batch_execute(sql).await.unwrap();
    let (answer, plan) = database.asked(&between(0, 9), &wish()).await;
    assert_eq!((answer.asked, plan.set_aside), (4, 2));
    assert_eq!(
        database.copies().await,
        "d 3 T1, elsewhere 4 T0, d 5 T1, d m Mended"
    );
}

#[tokio::test]
async fn a_partition_may_be_dropped_once_it_is_chosen_and_the_rate_cuts_requests() {
    let database = Database::new().await;
    for number in 1..=5 {
        database.publish(number, "d", Some("k"), 0).await;
    }
    let session = database.session().await;
    let selection = between(0, 1);
    let chosen = choose(&session, &selection, Order::CommitTime).await;
    // The shared server does not keep the times of commits.
    assert!(chosen.is_err(), "{chosen:?}");
    let session = database.session().await;
    assert_eq!(Order::of(&session).await.unwrap(), Order::CreatedAt);
    let chosen = choose(&session, &selection, Order::CreatedAt)
        .await
        .unwrap();
    let gone = "truncate outbox.message";
    database.client.batch_execute(gone).await.unwrap();
    let wish = Wish {
        destination: Some("elsewhere".to_owned()),
        rate: NonZeroU32::new(2),
        ..wish()
    };
    let (answer, ended) = ask(&session, &wish, &chosen, &Progress::default()).await;
    ended.unwrap();
    assert_eq!((answer.asked, answer.requests.len()), (5, 3));
    assert_eq!(
        database.copies().await,
        "d 1 T1, d 2 T0, d 3 T1, d 4 T0, d 5 T1"
    );
    let requests = "select string_agg(concat_ws(' ', chosen, destination), ', ' order by xid)
                    from outbox.request";
    assert_eq!(
        database.text(requests).await,
        "2 elsewhere, 2 elsewhere, 1 elsewhere"
    );
}

#[tokio::test]
async fn a_command_that_ends_early_says_how_to_go_on() {
    let database = Database::new().await;
    // Committed, and so numbered, in another order than enqueued.
    for (number, at) in [(1, 3), (2, 1), (3, 2)] {
        database.publish(number, "d", None, at).await;
    }
    let session = database.session().await;
    let chosen = choose(&session, &between(0, 9), Order::CreatedAt)
        .await
        .unwrap();
    let slowly = Wish {
        rate: NonZeroU32::new(1),
        ..wish()
    };
    let progress = Progress::default();
    let killed = async {
        testbed::wait::until("the first request", SOON, async || {
            database
                .text("select count(*)::text from outbox.request")
                .await
                == "1"
        })
        .await
        .unwrap();
        let end = "select count(pg_terminate_backend(pid))::text from pg_stat_activity
                   where application_name = 'outbox-sidecar tests' and datname = current_database()";
        assert_eq!(database.text(end).await, "1");
    };
    let ((answer, ended), ()) = tokio::join!(ask(&session, &slowly, &chosen, &progress), killed);
    let Err(RedeliveryError::Ended {
        asked,
        chosen,
        from,
        ..
    }) = ended
    else {
        panic!("{ended:?}");
    };
    assert_eq!((asked, chosen, answer.requests.len()), (1, 3, 1));
    assert_eq!(from, second(1), "to the block of a hundred");
    assert_eq!(database.copies().await, "d 2 T0");
}

/// Who began first need not commit first.
#[tokio::test]
async fn the_order_is_that_of_commits_where_the_server_keeps_their_times() {
    let server = testbed::PostgresServer::start().await.unwrap();
    let mut database = Database::on(server.address()).await;
    // Of what was there before, it has none.
    for payload in ["8", "9"] {
        write(&database.client, payload).await;
    }
    let keep = "alter system set track_commit_timestamp = on";
    database.client.batch_execute(keep).await.unwrap();
    server.stop(testbed::Shutdown::Fast).await.unwrap();
    server.restart().await.unwrap();
    let address = server.address();
    let client = address.connect(address.superuser(), &database.name).await;
    database.client = client.unwrap();
    let first = address.connect(address.superuser(), &database.name).await;
    let first = first.unwrap();
    first.batch_execute("begin").await.unwrap();
    write(&first, "2").await;
    write(&database.client, "1").await;
    write(&first, "3").await;
    first.batch_execute("commit").await.unwrap();
    write(&database.client, "4").await;
    for (order, expected) in [
        (
            Order::CommitTime,
            "d 8 T, d 9 T, d 1 T, d 2 T, d 3 T, d 4 T",
        ),
        (Order::CreatedAt, "d 8 T, d 9 T, d 2 T, d 3 T, d 1 T, d 4 T"),
    ] {
        let session = database.session().await;
        assert_eq!(Order::of(&session).await.unwrap(), Order::CommitTime);
        let chosen = choose(&session, &everything(), order).await.unwrap();
        let (_, ended) = ask(&session, &wish(), &chosen, &Progress::default()).await;
        ended.unwrap();
        assert_eq!(database.copies().await, expected);
        let forget = "truncate outbox.redelivery";
        database.client.batch_execute(forget).await.unwrap();
    }
}
