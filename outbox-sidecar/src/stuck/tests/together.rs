use outbox_core::schema::{SchemaName, grants};

use super::support::{Database, alone, behind, of_ids, of_key, refused, replay, settings};
use crate::operator::{Presence, Progress, RequestError, Session};
use crate::stuck::{Filter, PageOptions, StuckError, Wish, ask, list, plan, show, summarise};

#[tokio::test]
async fn two_operators_at_once_take_each_message_once() {
    let rows: Vec<_> = (0..3000).map(alone).collect();
    let database = Database::with(&rows).await;
    let (one, other) = (database.session().await, database.session().await);
    let wish = |actor: &str| Wish {
        actor: Some(actor.to_owned()),
        ..replay(Filter::default())
    };
    let (anna, bert) = (wish("anna"), wish("bert"));
    let chosen = plan(&one, &Filter::default()).await.unwrap();
    let progress = Progress::default();
    let ((first, asked), (second, also_asked)) = tokio::join!(
        ask(&one, &anna, &chosen, &progress),
        ask(&other, &bert, &chosen, &progress)
    );
    asked.unwrap();
    also_asked.unwrap();
    assert_eq!(first.asked + second.asked, 3000);
    assert_eq!(database.in_state("replaying").await.len(), 3000);
    let consistent = "select bool_and(r.chosen = (select count(*) from outbox.parked as p
                                                  where p.request = r.id and p.actor = r.actor
                                                    and p.replays = 1))::text
                      from outbox.request as r";
    assert_eq!(database.text(consistent).await, "true");
    let (late, asked) = database.ask(&replay(of_ids(&[7]))).await;
    asked.unwrap();
    assert_eq!(late.asked, 0);
    let rest = late.rest.unwrap();
    let [taken] = rest.taken.as_slice() else {
        panic!("{rest:?}");
    };
    assert_eq!(taken.messages, 1);
}

#[tokio::test]
async fn who_waits_for_anothers_lock_leaves_out_what_was_taken() {
    let database = Database::with(&[refused(2, "a"), behind(3, "a"), refused(4, "b")]).await;
    let begin = "begin; select from outbox.parked where key = 'a' for update";
    database.client.batch_execute(begin).await.unwrap();
    let session = database.session().await;
    let all = plan(&session, &Filter::default()).await.unwrap();
    assert_eq!(all.chosen.messages, 3);
    let (wish, progress) = (replay(Filter::default()), Progress::default());
    let other = async {
        let waits =
            "select exists (select from pg_locks as l join pg_stat_activity as a using (pid)
                                    where not l.granted and a.datname = current_database())";
        testbed::wait::until("someone waits", super::support::SOON, async || {
            database.client.query_one(waits, &[]).await.unwrap().get(0)
        })
        .await
        .unwrap();
        let take = "insert into outbox.request (id, relay, kind, chosen, actor)
                    values ('00000000-0000-0000-0000-0000000000ff', 'tests', 'skip', 2, 'bert');
                    update outbox.parked
                    set state = 'replaying', request = '00000000-0000-0000-0000-0000000000ff',
                        request_index = index
                    where key = 'a';
                    commit";
        database.client.batch_execute(take).await.unwrap();
    };
    let ((answer, asked), ()) = tokio::join!(ask(&session, &wish, &all, &progress), other);
    asked.unwrap();
    assert_eq!((answer.asked, answer.left_out), (1, 0));
    let rest = answer.rest.unwrap();
    let [taken] = rest.taken.as_slice() else {
        panic!("{rest:?}");
    };
    let words = (taken.kind.as_str(), taken.actor.as_str(), taken.messages);
    assert_eq!(words, ("skip", "bert", 2));
}

#[tokio::test]
async fn nothing_is_asked_of_a_relay_that_is_not_set_up() {
    let database = Database::with(&[alone(2)]).await;
    let removed = "delete from outbox.relay";
    database.client.batch_execute(removed).await.unwrap();
    let (answer, asked) = database.ask(&replay(Filter::default())).await;
    let error = asked.unwrap_err();
    assert!(
        matches!(&error, StuckError::Request(RequestError::NoRelay(relay)) if relay == "tests"),
        "{error}"
    );
    assert!(answer.requests.is_empty());
    assert_eq!(database.in_state("waiting").await, [2]);
}

#[tokio::test]
async fn what_comes_to_overtake_after_the_plan_is_left_out() {
    let database = Database::with(&[refused(2, "a"), behind(3, "a"), alone(4)]).await;
    let session = database.session().await;
    // While the first is with somebody else, the second may be chosen; then the first comes back.
    let (_, asked) = database.ask(&replay(of_ids(&[2]))).await;
    asked.unwrap();
    let chosen = plan(&session, &of_ids(&[3, 4])).await.unwrap();
    assert_eq!((chosen.chosen.messages, chosen.refused), (2, 0));
    let back = "update outbox.parked set state = 'waiting' where key = 'a'";
    database.client.batch_execute(back).await.unwrap();
    let wish = replay(of_ids(&[3, 4]));
    let (answer, asked) = ask(&session, &wish, &chosen, &Progress::default()).await;
    asked.unwrap();
    assert_eq!((answer.asked, answer.left_out), (1, 1));
    assert_eq!(database.in_state("waiting").await, [2, 3]);
}

#[tokio::test]
async fn what_is_set_aside_after_the_plan_is_not_asked_for() {
    let database = Database::with(&[alone(2)]).await;
    let session = database.session().await;
    let chosen = plan(&session, &Filter::default()).await.unwrap();
    database.park(&[alone(3)]).await;
    let wish = replay(Filter::default());
    let (answer, asked) = ask(&session, &wish, &chosen, &Progress::default()).await;
    asked.unwrap();
    assert_eq!(answer.asked, 1);
    assert_eq!(database.in_state("waiting").await, [3]);
}

#[tokio::test]
async fn an_operators_role_does_all_of_it_and_any_other_is_told() {
    let database = Database::with(&[refused(2, "a"), behind(3, "a"), alone(4)]).await;
    let role = format!("{}_operator", database.name);
    let stranger = format!("{}_stranger", database.name);
    let make = format!(
        "create role \"{role}\" login; create role \"{stranger}\" login; {}",
        grants::operator_role(&SchemaName::default(), &role)
    );
    database.client.batch_execute(&make).await.unwrap();
    let server = testbed::shared_postgres().await.unwrap();
    let operator = settings(&server.url(&role, &database.name));
    let session = Session::open(&operator, "outbox-sidecar tests")
        .await
        .unwrap();
    let options = PageOptions {
        rows_max: 10,
        ..PageOptions::default()
    };
    assert_eq!(list(&session, &options).await.unwrap().rows.len(), 3);
    summarise(&session, &Filter::default(), options.states)
        .await
        .unwrap();
    assert_ne!(session.presence().await.unwrap(), Presence::Running);
    let chosen = plan(&session, &of_key("a")).await.unwrap();
    let wish = replay(of_key("a"));
    let (answer, asked) = ask(&session, &wish, &chosen, &Progress::default()).await;
    asked.unwrap();
    assert_eq!(answer.asked, 2);
    let shown = show(&session, super::support::id(2), 10).await.unwrap();
    assert_eq!(shown[0].last_request.as_ref().unwrap().role, role);

    let stranger = settings(&server.url(&stranger, &database.name));
    let refused = Session::open(&stranger, "outbox-sidecar tests").await;
    let refused = StuckError::from(refused.err().unwrap()).to_string();
    assert!(refused.contains("permission denied"), "{refused}");
    assert!(refused.contains("an operator's rights"), "{refused}");
}

#[tokio::test]
async fn a_request_that_ends_a_deadlock_is_tried_again() {
    let database = Database::with(&[alone(2), alone(4)]).await;
    // Whoever waits from now on finds a deadlock; the other never looks.
    let name = &database.name;
    let patience = format!("alter database \"{name}\" set deadlock_timeout = '2s'");
    database.client.batch_execute(&patience).await.unwrap();
    let session = database.session().await;
    let lock = "set deadlock_timeout = '100s'; begin;
                select from outbox.parked where commit_lsn = '0/4' for update";
    database.client.batch_execute(lock).await.unwrap();
    let all = plan(&session, &Filter::default()).await.unwrap();
    let (wish, progress) = (replay(Filter::default()), Progress::default());
    let other = async {
        let waits =
            "select exists (select from pg_locks as l join pg_stat_activity as a using (pid)
                                    where not l.granted and a.datname = current_database())";
        testbed::wait::until("the request waits", super::support::SOON, async || {
            database.client.query_one(waits, &[]).await.unwrap().get(0)
        })
        .await
        .unwrap();
        let cross = "select from outbox.parked where commit_lsn = '0/2' for update; commit";
        database.client.batch_execute(cross).await.unwrap();
    };
    let ((answer, asked), ()) = tokio::join!(ask(&session, &wish, &all, &progress), other);
    asked.unwrap();
    assert_eq!((answer.asked, answer.requests.len()), (2, 1));
    assert_eq!(database.in_state("replaying").await, [2, 4]);
}
