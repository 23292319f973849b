use outbox_core::relay::FailureKind;

use super::support::{Database, alone, behind, id, of_ids, of_key, refused, replay};
use crate::operator::{Presence, RequestError, Session};
use crate::stuck::{Filter, PageOptions, StateFilter, list, show, summarise};

async fn numbers(session: &Session, options: &PageOptions) -> Vec<String> {
    let page = list(session, options).await.unwrap();
    page.rows
        .iter()
        .map(|row| row.position.to_string())
        .collect()
}

#[tokio::test]
async fn pages_of_thousands_of_rows_hold_each_row_once() {
    let rows: Vec<_> = (0..5000).map(alone).collect();
    let database = Database::with(&rows).await;
    let session = database.session().await;
    for rows_max in [700, 2500, 5000, 10_000] {
        let mut options = PageOptions {
            rows_max,
            ..PageOptions::default()
        };
        let mut seen = Vec::new();
        loop {
            let page = list(&session, &options).await.unwrap();
            assert!(page.rows.len() <= rows_max);
            seen.extend(page.rows.iter().map(|row| row.id));
            options.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..5000).map(id).collect::<Vec<_>>(), "{rows_max}");
    }
}

#[tokio::test]
async fn what_two_clusters_have_at_one_position_stays_on_one_page() {
    let database = Database::with(&[alone(2), alone(3), alone(4)]).await;
    let copy = "insert into outbox.parked overriding user value
                select (jsonb_populate_record(p, '{\"system_id\": \"1\"}')).*
                from outbox.parked as p where p.id = '00000000-0000-0000-0000-000000000003'";
    database.client.batch_execute(copy).await.unwrap();
    let session = database.session().await;
    let page = |after, rows_max| PageOptions {
        after,
        rows_max,
        ..PageOptions::default()
    };
    let positions = |rows: &[crate::stuck::ParkedRow]| -> Vec<String> {
        rows.iter().map(|row| row.position.to_string()).collect()
    };
    let first = list(&session, &page(None, 1)).await.unwrap();
    assert_eq!(positions(&first.rows), ["0/2:0"]);
    // Two where one was asked for: a position is where the next page begins.
    let second = list(&session, &page(first.next, 1)).await.unwrap();
    assert_eq!(positions(&second.rows), ["0/2:1", "0/2:1"]);
    assert_eq!(second.rows.iter().filter(|row| row.is_foreign).count(), 1);
    let last = list(&session, &page(second.next, 1)).await.unwrap();
    assert_eq!(positions(&last.rows), ["0/4:0"]);
    assert_eq!(last.next, None);
}

#[tokio::test]
async fn each_condition_finds_its_rows() {
    let database = Database::with(&[refused(2, "a"), behind(3, "a"), alone(4)]).await;
    let change = "update outbox.parked set destination = 'claims', type = 'ClaimMade',
                         parked_at = '2026-01-01 00:00:00+00', state = 'waiting'
                  where key is null;
                  update outbox.parked set state = 'skipped', request = r.id, request_index = 0
                  from outbox.request as r where false";
    database.client.batch_execute(change).await.unwrap();
    let session = database.session().await;
    let time = |text| crate::sink::message_text::read_timestamp(text);
    let texts = |text: &str| vec![text.to_owned()];
    for (filter, expected) in [
        (of_ids(&[3, 4]), &["0/2:1", "0/4:0"][..]),
        (of_key("a"), &["0/2:0", "0/2:1"]),
        (
            Filter {
                destinations: texts("claims"),
                ..Filter::default()
            },
            &["0/4:0"],
        ),
        (
            Filter {
                types: texts("ClaimMade"),
                ..Filter::default()
            },
            &["0/4:0"],
        ),
        (
            Filter {
                reasons: texts("key-blocked"),
                keys: vec!["a".to_owned(), "b".to_owned()],
                ..Filter::default()
            },
            &["0/2:1"],
        ),
        (
            Filter {
                until: time("2026-01-01T00:00:00.000001Z"),
                ..Filter::default()
            },
            &["0/4:0"],
        ),
        (
            Filter {
                since: time("2026-01-01T00:00:00.000001Z"),
                ..Filter::default()
            },
            &["0/2:0", "0/2:1"],
        ),
    ] {
        let options = PageOptions {
            filter,
            rows_max: 10,
            ..PageOptions::default()
        };
        assert_eq!(numbers(&session, &options).await, expected, "{options:?}");
    }
}

#[tokio::test]
async fn states_are_counted_and_chosen() {
    let database = Database::with(&[refused(2, "a"), behind(3, "a"), alone(4), alone(5)]).await;
    let (_, asked) = database.ask(&replay(of_ids(&[4]))).await;
    asked.unwrap();
    let settled = "update outbox.parked set state = 'replayed', settled_at = now()
                   where state = 'replaying'";
    database.client.batch_execute(settled).await.unwrap();
    let (_, asked) = database.ask(&replay(of_ids(&[5]))).await;
    asked.unwrap();
    let session = database.session().await;
    for (states, expected) in [
        (StateFilter::Unsettled, &["0/2:0", "0/2:1", "0/4:1"][..]),
        (StateFilter::Only("waiting"), &["0/2:0", "0/2:1"]),
        (StateFilter::Only("replaying"), &["0/4:1"]),
        (StateFilter::Only("replayed"), &["0/4:0"]),
        (StateFilter::Only("skipped"), &[]),
        (StateFilter::All, &["0/2:0", "0/2:1", "0/4:0", "0/4:1"]),
    ] {
        let options = PageOptions {
            states,
            rows_max: 10,
            ..PageOptions::default()
        };
        assert_eq!(numbers(&session, &options).await, expected, "{states:?}");
    }
    let all = summarise(&session, &Filter::default(), StateFilter::All)
        .await
        .unwrap();
    let counts: Vec<_> = all
        .counts
        .iter()
        .map(|count| (count.reason.as_str(), count.state.as_str(), count.messages))
        .collect();
    assert_eq!(
        counts,
        [
            ("key-blocked", "waiting", 1),
            ("too-large", "replayed", 1),
            ("too-large", "replaying", 1),
            ("too-large", "waiting", 1),
        ]
    );
    assert_eq!((all.messages(), all.blocked_keys), (4, 1));
    assert!(all.oldest_age_s.is_some());
    let settled = StateFilter::Only("replayed");
    let settled = summarise(&session, &Filter::default(), settled)
        .await
        .unwrap();
    assert_eq!((settled.messages(), settled.oldest_age_s), (1, None));
    let none = summarise(&session, &of_key("z"), StateFilter::All)
        .await
        .unwrap();
    assert_eq!(none, crate::stuck::Summary::default());
}

#[tokio::test]
async fn long_texts_are_cut_where_they_are_stored() {
    let database = Database::with(&[refused(2, "a")]).await;
    let lengthen = "update outbox.parked set error = repeat('é', 1000000),
                           destination = repeat('d', 250), key = repeat('k', 251)";
    database.client.batch_execute(lengthen).await.unwrap();
    let session = database.session().await;
    let options = PageOptions {
        rows_max: 10,
        ..PageOptions::default()
    };
    let page = list(&session, &options).await.unwrap();
    let row = &page.rows[0];
    assert_eq!(row.error, format!("{}…", "é".repeat(250)));
    assert_eq!(row.destination, "d".repeat(250));
    assert_eq!(row.key, Some(format!("{}…", "k".repeat(250))));
    let shown = show(&session, id(2), 5).await.unwrap();
    assert_eq!(shown[0].row.error.chars().count(), 1_000_000);
    assert_eq!(shown[0].payload.as_deref(), Some(&b"{\"num"[..]));
    assert!(!shown[0].has_whole_payload());
}

#[tokio::test]
async fn everything_is_shown_of_one_message() {
    let rows = [refused(2, "a"), behind(3, "a"), behind(4, "a"), alone(5)];
    let database = Database::with(&rows).await;
    let session = database.session().await;
    let first = &show(&session, id(2), 1000).await.unwrap()[0];
    assert_eq!((first.waiting_behind, first.waits_for), (2, None));
    assert_eq!(first.payload.as_deref(), Some(&br#"{"number": 2}"#[..]));
    assert_eq!((first.timeline, first.xid), (1, 742));
    assert_eq!(first.headers, r#"{"tenant": "7"}"#);
    assert_eq!(first.last_request, None);
    let last = &show(&session, id(4), 1000).await.unwrap()[0];
    assert_eq!((last.waiting_behind, last.waits_for), (0, Some(id(2))));
    let free = &show(&session, id(5), 1000).await.unwrap()[0];
    assert_eq!((free.waiting_behind, free.waits_for), (0, None));

    let (answer, asked) = database.ask(&replay(of_key("a"))).await;
    asked.unwrap();
    let shown = &show(&session, id(3), 1000).await.unwrap()[0];
    let request = shown.last_request.as_ref().unwrap();
    assert_eq!(request.id, answer.requests[0]);
    let words = (
        request.kind.as_str(),
        request.actor.as_str(),
        request.state.as_str(),
    );
    assert_eq!(words, ("replay", "anna", "requested"));
    assert_eq!(request.note.as_deref(), Some("broker mended"));
    assert_eq!(shown.row.replays, 1);
    assert!(show(&session, id(9), 1000).await.unwrap().is_empty());
}

#[tokio::test]
async fn whether_a_relay_runs_is_known_by_its_slot() {
    let database = Database::new().await;
    // A name of its own: slots are shared by all databases of a server.
    let relay = format!("tests_{}", database.name.replace('-', "_"));
    let mut settings = database.settings.clone();
    settings.relay.clone_from(&relay);
    let set_up = format!("insert into outbox.relay (name) values ('{relay}')");
    database.client.batch_execute(&set_up).await.unwrap();
    let session = Session::open(&settings, "outbox-sidecar tests")
        .await
        .unwrap();
    assert_eq!(session.presence().await.unwrap(), Presence::NoSlot);
    let make = format!("select pg_create_logical_replication_slot('outbox_{relay}', 'pgoutput')");
    database.client.batch_execute(&make).await.unwrap();
    assert_eq!(session.presence().await.unwrap(), Presence::Away);
    let drop = format!("select pg_drop_replication_slot('outbox_{relay}')");
    database.client.batch_execute(&drop).await.unwrap();
}

#[tokio::test]
async fn a_database_of_an_earlier_release_is_named_as_such() {
    let database = Database::new().await;
    let drop = "drop table outbox.parked, outbox.redelivery, outbox.request";
    database.client.batch_execute(drop).await.unwrap();
    let refused = Session::open(&database.settings, "outbox-sidecar tests").await;
    let Some(RequestError::Database(failure)) = refused.err() else {
        panic!("it is opened");
    };
    assert_eq!(failure.kind, FailureKind::SchemaOutdated);
    assert!(failure.message.contains("outbox-sidecar init"), "{failure}");
}
