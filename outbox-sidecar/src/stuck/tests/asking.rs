use std::time::{Duration, Instant};

use super::relay::Relay;
use super::support::{Database, SOON, alone, at_rate, behind, of_ids, of_key, refused, replay};
use crate::operator::{Outcome, RequestError};
use crate::stuck::{Filter, Kind, Rest, StuckError, Wish};

fn and_wait(wish: Wish) -> Wish {
    Wish {
        wait_max: Some(SOON),
        ..wish
    }
}

fn skip(filter: Filter) -> Wish {
    Wish {
        kind: Kind::Skip,
        ..replay(filter)
    }
}

#[tokio::test]
async fn a_request_is_a_row_its_messages_and_a_message_in_the_log() {
    let database = Database::with(&[refused(2, "a"), behind(3, "a"), alone(4)]).await;
    let name = &database.name;
    let publication = format!("create publication \"{name}\" for table outbox.message");
    let slot = format!("select pg_create_logical_replication_slot('{name}', 'pgoutput')");
    for make in [publication, slot] {
        database.client.batch_execute(&make).await.unwrap();
    }
    let (answer, asked) = database.ask(&replay(of_key("a"))).await;
    asked.unwrap();
    assert_eq!(
        (answer.asked, answer.requests.len(), answer.outcome),
        (2, 1, None)
    );
    let request = answer.requests[0];
    let rows = database
        .text(
            "select string_agg(concat_ws(' ', commit_lsn || ':' || index, state, request,
                                         request_index, replays, actor, note),
                               ', ' order by request_index)
             from outbox.parked where state = 'replaying'",
        )
        .await;
    assert_eq!(
        rows,
        format!(
            "0/2:0 replaying {request} 0 1 anna broker mended, \
             0/2:1 replaying {request} 1 1 anna broker mended"
        )
    );
    let written = database
        .text(
            "select concat_ws(' ', id, relay, kind, chosen, coalesce(destination, '-'), edited,
                              actor, role = session_user, note, state)
             from outbox.request",
        )
        .await;
    assert_eq!(
        written,
        format!("{request} tests replay 2 - f anna t broker mended requested")
    );
    let peek = format!(
        "select encode(data, 'escape') from pg_logical_slot_peek_binary_changes('{name}', null,
                null, 'proto_version', '1', 'publication_names', '{name}', 'messages', 'true')
         where get_byte(data, 0) = ascii('M')"
    );
    let messages = database.client.query(&peek, &[]).await.unwrap();
    let [message] = messages.as_slice() else {
        panic!("{} messages in the log", messages.len());
    };
    let message: String = message.get(0);
    assert!(message.contains("outbox.request.tests"), "{message}");
    assert!(message.contains(&request.to_string()), "{message}");
    let drop = format!("select pg_drop_replication_slot('{name}')");
    database.client.batch_execute(&drop).await.unwrap();
}

#[tokio::test]
async fn many_messages_become_requests_of_a_thousand_in_the_order_of_the_log() {
    let rows: Vec<_> = (0..2500).map(alone).collect();
    let database = Database::with(&rows).await;
    let (answer, asked) = database.ask(&replay(Filter::default())).await;
    asked.unwrap();
    assert_eq!((answer.asked, answer.requests.len()), (2500, 3));
    let requests = database
        .text(
            "select string_agg(concat_ws(' ', chosen, first, last), ', ' order by xid)
             from (select r.xid, r.chosen, min(p.commit_lsn) as first, max(p.commit_lsn) as last
                   from outbox.request as r join outbox.parked as p on p.request = r.id
                   group by r.xid, r.chosen) as r",
        )
        .await;
    assert_eq!(
        requests,
        "1000 0/0 0/3E6, 1000 0/3E8 0/7CE, 500 0/7D0 0/9C2"
    );
}

#[tokio::test]
async fn a_rate_makes_requests_small_and_seldom() {
    let rows: Vec<_> = (0..25).map(alone).collect();
    let database = Database::with(&rows).await;
    let began = Instant::now();
    let (answer, asked) = database.ask(&at_rate(replay(Filter::default()), 10)).await;
    asked.unwrap();
    assert_eq!((answer.asked, answer.requests.len()), (25, 3));
    // A lower bound: after the first and the second request it pauses for a second each.
    assert!(began.elapsed() >= Duration::from_millis(1900));
}

#[tokio::test]
async fn an_outcome_is_waited_for() {
    let rows = [refused(2, "a"), behind(3, "a"), refused(4, "b"), alone(5)];
    let database = Database::with(&rows).await;
    let refuse = "update outbox.parked set error = 'refused for ever' where key = 'b'";
    database.client.batch_execute(refuse).await.unwrap();
    let _relay = Relay::start(&database, 10_000).await;
    let (answer, asked) = database.ask(&and_wait(replay(of_ids(&[2, 4, 5])))).await;
    asked.unwrap();
    let outcome = Outcome {
        published: 3,
        skipped: 0,
        returned: 1,
    };
    assert_eq!(answer.outcome, Some(outcome));
    assert_eq!((answer.rounds, answer.rest), (0, Some(Rest::default())));
    assert_eq!(database.in_state("waiting").await, [4]);
}

#[tokio::test]
async fn what_is_behind_one_that_was_returned_is_left_out_of_later_requests() {
    let second = super::support::Parked {
        blocks_key: false,
        ..refused(1500, "a")
    };
    let mut rows: Vec<_> = (4..1500).map(alone).collect();
    rows.extend([refused(2, "a"), second]);
    let database = Database::with(&rows).await;
    let refuse = "update outbox.parked set error = 'refused for ever' where key = 'a'";
    database.client.batch_execute(refuse).await.unwrap();
    let _relay = Relay::start(&database, 10_000).await;
    let (answer, asked) = database.ask(&and_wait(replay(Filter::default()))).await;
    asked.unwrap();
    assert_eq!((answer.asked, answer.left_out), (1497, 1));
    let outcome = answer.outcome.unwrap();
    assert_eq!((outcome.published, outcome.returned), (1496, 1));
    assert_eq!(database.in_state("waiting").await, [2, 1500]);
}

#[tokio::test]
async fn a_key_that_is_busier_than_a_request_takes_along_is_asked_for_until_it_is_free() {
    let mut rows = vec![refused(2, "a"), refused(3, "b")];
    rows.extend((4..29).map(|number| behind(number, "a")));
    rows.extend((30..33).map(|number| behind(number, "b")));
    for kind in [Kind::Replay, Kind::Skip] {
        let database = Database::with(&rows).await;
        let _relay = Relay::start(&database, 10).await;
        let wish = and_wait(Wish {
            kind,
            ..replay(of_ids(&[2, 3]))
        });
        let (answer, asked) = database.ask(&wish).await;
        asked.unwrap();
        // 10 go along with each request; what is asked for in a round is one more.
        assert_eq!(
            (
                answer.asked,
                answer.rounds,
                answer.rest.unwrap().unreleased_keys
            ),
            (2, 2, 0),
            "{kind:?}"
        );
        let skipped = if kind == Kind::Skip { 2 } else { 0 };
        let outcome = Outcome {
            published: 30 - skipped,
            skipped,
            returned: 0,
        };
        assert_eq!(answer.outcome, Some(outcome));
        assert!(database.in_state("waiting").await.is_empty());
        let expected = if kind == Kind::Skip { &[2, 3][..] } else { &[] };
        assert_eq!(
            database.in_state("skipped").await,
            expected,
            "what merely waited is published"
        );
    }
}

#[tokio::test]
async fn a_request_that_nobody_carries_out_stays() {
    let database = Database::with(&[alone(2), alone(3)]).await;
    let wish = Wish {
        wait_max: Some(Duration::from_millis(300)),
        ..at_rate(replay(Filter::default()), 1)
    };
    let (answer, asked) = database.ask(&wish).await;
    let error = asked.unwrap_err();
    let StuckError::NotAsked {
        messages: 1,
        source,
    } = &error
    else {
        panic!("{error}");
    };
    assert!(
        matches!(**source, StuckError::Request(RequestError::NotDone { .. })),
        "{error}"
    );
    assert!(
        error.to_string().contains(&answer.requests[0].to_string()),
        "{error}"
    );
    assert_eq!(answer.outcome, None);
    assert_eq!(database.in_state("replaying").await, [2]);
    assert_eq!(database.in_state("waiting").await, [3]);
}

#[tokio::test]
async fn a_skip_names_its_messages_and_is_no_replay() {
    let database = Database::with(&[refused(2, "a"), behind(3, "a")]).await;
    let (answer, asked) = database.ask(&skip(of_ids(&[2]))).await;
    asked.unwrap();
    let row = "select concat_ws(' ', p.state, p.replays, r.kind, r.chosen)
               from outbox.parked as p join outbox.request as r on r.id = p.request";
    assert_eq!(database.text(row).await, "replaying 0 skip 1");
    assert_eq!(answer.asked, 1);
}

#[tokio::test]
async fn nobody_named_is_the_role() {
    let database = Database::with(&[alone(2)]).await;
    let wish = Wish {
        actor: None,
        note: None,
        ..replay(Filter::default())
    };
    let (_, asked) = database.ask(&wish).await;
    asked.unwrap();
    let sql = "select (p.actor = session_user and r.actor = session_user and p.note is null)::text
               from outbox.parked as p join outbox.request as r on r.id = p.request";
    assert_eq!(database.text(sql).await, "true");
}
