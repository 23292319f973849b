use super::support::{Database, alone, behind, id, of_ids, of_key, refused, replay};
use crate::stuck::{Filter, StuckError, plan};

#[tokio::test]
async fn a_plan_says_what_a_choice_means_and_changes_nothing() {
    let rows = [
        refused(2, "a"),
        behind(3, "a"),
        behind(4, "a"),
        refused(5, "b"),
        alone(6),
        refused(7, "c"),
    ];
    let database = Database::with(&rows).await;
    let move_one = "update outbox.parked set destination = 'claims' where key = 'b'";
    database.client.batch_execute(move_one).await.unwrap();
    let (answer, asked) = database.ask(&replay(of_ids(&[7]))).await;
    asked.unwrap();
    let before = database.everything().await;

    let chosen = database
        .plan(&Filter {
            reasons: vec!["too-large".to_owned()],
            ..Filter::default()
        })
        .await;
    assert_eq!(
        (chosen.chosen.messages, chosen.chosen.keys, chosen.refused),
        (3, 2, 0)
    );
    assert_eq!(chosen.chosen.payload_bytes, 3 * 13);
    let destinations = [("policy-events".to_owned(), 2), ("claims".to_owned(), 1)];
    assert_eq!(
        (
            chosen.chosen.destinations.as_slice(),
            chosen.chosen.destination_count
        ),
        (&destinations[..], 2)
    );
    assert_eq!(chosen.taken_along, 2);
    assert_eq!(chosen.last_id, Some(id(6)));
    let taken = &chosen.taken[0];
    let words = (
        taken.request,
        taken.kind.as_str(),
        taken.actor.as_str(),
        taken.messages,
    );
    assert_eq!(words, (answer.requests[0], "replay", "anna", 1));
    assert_eq!(database.everything().await, before);
}

#[tokio::test]
async fn what_would_overtake_is_refused_by_its_key() {
    let rows = [
        alone(1),
        refused(2, "a"),
        behind(3, "a"),
        behind(4, "a"),
        refused(5, "b"),
        behind(6, "b"),
    ];
    let database = Database::with(&rows).await;
    let plan = database.plan(&of_ids(&[1, 4, 5, 6])).await;
    assert_eq!(
        (plan.chosen.messages, plan.refused, plan.refused_key_count),
        (4, 1, 1)
    );
    let key = &plan.refused_keys[0];
    assert_eq!(
        (key.key.as_str(), key.messages, key.earlier, key.first),
        ("a", 1, 2, id(2))
    );
    let before = database.everything().await;
    let (answer, asked) = database.ask(&replay(of_ids(&[1, 4, 5, 6]))).await;
    let error = asked.unwrap_err();
    assert!(
        matches!(error, StuckError::OutOfOrder { messages: 1, .. }),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "1 of the chosen messages would overtake earlier ones of their key (keys: 1): of key \"a\" \
         for \"policy-events\", 2 earlier ones wait that are not chosen, the first is \
         00000000-0000-0000-0000-000000000002: replay or skip that first, or choose the whole key \
         (--destination, --key): nothing was done"
    );
    assert!(answer.requests.is_empty());
    assert_eq!(database.everything().await, before);

    // The whole key, its beginning, and what stands before its first that blocks.
    for numbers in [&[2, 3, 4][..], &[2], &[2, 3]] {
        assert_eq!(
            database.plan(&of_ids(numbers)).await.refused,
            0,
            "{numbers:?}"
        );
    }
    let free = "update outbox.parked set blocks_key = true
                where id = '00000000-0000-0000-0000-000000000003';
                update outbox.parked set blocks_key = false
                where id = '00000000-0000-0000-0000-000000000002'";
    database.client.batch_execute(free).await.unwrap();
    assert_eq!(database.plan(&of_ids(&[2])).await.refused, 0);
    assert_eq!(database.plan(&of_ids(&[3])).await.refused, 0);
    assert_eq!(database.plan(&of_ids(&[4])).await.refused, 1);
}

#[tokio::test]
async fn what_waits_behind_goes_along_up_to_the_next_that_was_refused() {
    let second = super::support::Parked {
        blocks_key: false,
        ..refused(5, "a")
    };
    let rows = [
        refused(2, "a"),
        behind(3, "a"),
        behind(4, "a"),
        second,
        behind(6, "a"),
    ];
    let database = Database::with(&rows).await;
    assert_eq!(database.plan(&of_ids(&[2])).await.taken_along, 2);
    assert_eq!(database.plan(&of_ids(&[2, 3])).await.taken_along, 1);
    assert_eq!(database.plan(&of_ids(&[2, 3, 4])).await.taken_along, 0);
    assert_eq!(database.plan(&of_key("a")).await.taken_along, 0);
    assert_eq!(database.plan(&of_ids(&[2, 3, 4, 5])).await.taken_along, 1);
}

#[tokio::test]
async fn messages_of_no_key_and_of_keys_that_are_not_blocked_are_free() {
    let free = super::support::Parked {
        blocks_key: false,
        ..refused(3, "a")
    };
    let earlier = super::support::Parked { number: 2, ..free };
    let database = Database::with(&[earlier, free, alone(4), alone(5)]).await;
    let plan = database.plan(&of_ids(&[3, 5])).await;
    assert_eq!(
        (plan.chosen.messages, plan.refused, plan.taken_along),
        (2, 0, 0)
    );
}

#[tokio::test]
async fn an_id_that_was_never_set_aside_is_an_error_and_others_rows_are_not_ours() {
    let database = Database::with(&[alone(2), alone(3)]).await;
    let others = "update outbox.parked set relay = 'other'
                  where id = '00000000-0000-0000-0000-000000000002';
                  update outbox.parked set system_id = '1'
                  where id = '00000000-0000-0000-0000-000000000003'";
    database.client.batch_execute(others).await.unwrap();
    let session = database.session().await;
    let unknown = plan(&session, &of_ids(&[2, 3])).await;
    assert!(matches!(&unknown, Err(StuckError::Unknown { ids, .. }) if *ids == [id(2)]));
    let foreign = database.plan(&of_ids(&[3])).await;
    assert_eq!((foreign.chosen.messages, foreign.foreign), (0, 1));
    let (answer, asked) = database.ask(&replay(Filter::default())).await;
    asked.unwrap();
    assert_eq!((answer.asked, answer.requests.len()), (0, 0));
}
