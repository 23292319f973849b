use outbox_core::MessageError;
use serde_json::{Value, json};

use super::support::{Database, alone, behind, id, of_ids, refused, replay};
use crate::operator::Progress;
use crate::stuck::{Edit, EditError, Filter, ShownRow, StuckError, Wish, ask, plan, show};

const LIMIT: usize = 1 << 20;

async fn shown(database: &Database, number: u64) -> ShownRow {
    let rows = show(&database.session().await, id(number), 1 << 20).await;
    rows.unwrap().remove(0)
}

/// What `show` prints, with this field set.
fn with(original: &ShownRow, name: &str, value: Value) -> String {
    let mut object = original.to_json();
    object.insert(name.to_owned(), value);
    Value::Object(object).to_string()
}

fn read(text: &str, original: &ShownRow) -> Result<Edit, EditError> {
    Edit::read(text, original, None, LIMIT)
}

#[tokio::test]
async fn what_show_prints_is_taken_as_it_is_and_edited() {
    let database = Database::with(&[refused(2, "a")]).await;
    let original = shown(&database, 2).await;
    let same = Edit {
        message_type: "PolicyIssued".to_owned(),
        content_type: "application/json".to_owned(),
        payload: Some(br#"{"number": 2}"#.to_vec()),
        headers: r#"{"tenant":"7"}"#.to_owned(),
    };
    let printed = Value::Object(original.to_json());
    assert_eq!(read(&printed.to_string(), &original).unwrap(), same);
    assert_eq!(
        read(&json!([printed]).to_string(), &original).unwrap(),
        same
    );
    assert_eq!(
        read("{}", &original).unwrap(),
        same,
        "what is left out stays"
    );
    let tombstone = with(&original, "payload", Value::Null);
    assert_eq!(read(&tombstone, &original).unwrap().payload, None);
    let binary = r#"{"payload_base64": "AP8=", "type": "T", "content_type": "c", "headers": {}}"#;
    let edited = Edit {
        message_type: "T".to_owned(),
        content_type: "c".to_owned(),
        payload: Some(vec![0, 255]),
        headers: "{}".to_owned(),
    };
    assert_eq!(read(binary, &original).unwrap(), edited);
    // What has changed since, and what was edited only for the eye, does not matter.
    let later = with(&original, "attempts", json!(17));
    assert_eq!(read(&later, &original).unwrap(), same);
}

#[tokio::test]
async fn what_cannot_take_a_messages_place_is_refused_by_its_name() {
    let database = Database::with(&[refused(2, "a")]).await;
    let original = shown(&database, 2).await;
    let error = |text: &str| read(text, &original).unwrap_err().to_string();
    for (name, value, expected) in [
        ("paylaod", json!("x"), "\"paylaod\" is not known"),
        (
            "destination",
            json!("other"),
            "\"destination\" cannot be edited",
        ),
        ("key", json!("b"), "\"key\" cannot be edited"),
        ("id", json!("x"), "\"id\" cannot be edited"),
        ("position", json!("0/1:0"), "\"position\" cannot be edited"),
        ("payload", json!({ "a": 1 }), "\"payload\" must be a text"),
        ("type", json!(1), "\"type\" must be a text"),
        (
            "headers",
            json!([]),
            "\"headers\" must be an object of texts",
        ),
        (
            "headers",
            json!({ "a": 1 }),
            "\"headers\" must be an object of texts",
        ),
        (
            "payload_base64",
            json!("AA=="),
            "payload and payload_base64 are both given",
        ),
        (
            "headers",
            json!({ "outbox-id": "x" }),
            "\"outbox-id\" is reserved",
        ),
        (
            "headers",
            json!({ "Content-Type": "x" }),
            "\"Content-Type\" is reserved",
        ),
        ("type", json!("a\nb"), "type"),
    ] {
        let said = error(&with(&original, name, value));
        assert!(said.contains(expected), "{said}");
    }
    for text in ["[]", "[{}, {}]", "7", "null"] {
        assert!(error(text).contains("must hold one message"), "{text}");
    }
    assert!(error("{").contains("not JSON"));
    assert!(error(r#"{"payload_base64": "?"}"#).contains("Base64"));
    let large = Edit::read("{}", &original, None, 20).unwrap_err();
    assert!(
        matches!(large, EditError::Message(MessageError::TooLarge { .. })),
        "{large}"
    );
    let elsewhere = Edit::read("{}", &original, Some(""), LIMIT).unwrap_err();
    assert!(
        matches!(elsewhere, EditError::Message(MessageError::Text { .. })),
        "{elsewhere}"
    );
}

#[tokio::test]
async fn a_payload_that_is_too_large_to_be_read_must_be_given() {
    let database = Database::with(&[alone(2)]).await;
    let original = show(&database.session().await, id(2), 5)
        .await
        .unwrap()
        .remove(0);
    let left_out = read("{}", &original).unwrap_err();
    assert!(
        matches!(left_out, EditError::PayloadTooLarge(13)),
        "{left_out}"
    );
    assert_eq!(
        original.to_json().get("payload_omitted"),
        Some(&json!(true))
    );
    assert!(read(&with(&original, "payload", json!("x")), &original).is_ok());
}

#[tokio::test]
async fn bytes_that_are_no_text_come_in_base64() {
    let database = Database::with(&[alone(2), alone(3)]).await;
    let change = "update outbox.parked set payload = '\\xff00'
                  where id = '00000000-0000-0000-0000-000000000002';
                  update outbox.parked set payload = null
                  where id = '00000000-0000-0000-0000-000000000003'";
    database.client.batch_execute(change).await.unwrap();
    let binary = shown(&database, 2).await;
    assert_eq!(binary.to_json().get("payload_base64"), Some(&json!("/wA=")));
    assert_eq!(binary.to_json().get("payload"), None);
    let printed = Value::Object(binary.to_json()).to_string();
    assert_eq!(
        read(&printed, &binary).unwrap().payload,
        Some(vec![0xff, 0])
    );
    let tombstone = shown(&database, 3).await;
    assert_eq!(tombstone.to_json().get("payload"), Some(&Value::Null));
    assert_eq!(read("{}", &tombstone).unwrap().payload, None);
}

#[tokio::test]
async fn an_edit_and_another_destination_stand_in_the_request_and_the_row_stays() {
    let database = Database::with(&[refused(2, "a"), alone(3)]).await;
    let edit = Edit {
        message_type: "T".to_owned(),
        content_type: "c".to_owned(),
        payload: Some(vec![0, 255]),
        headers: r#"{"a":"ä"}"#.to_owned(),
    };
    let wish = Wish {
        edit: Some(edit),
        destination: Some("other-events".to_owned()),
        ..replay(Filter::default())
    };
    let (_, asked) = database.ask(&wish).await;
    assert!(
        matches!(asked, Err(StuckError::EditsSeveral(2))),
        "{asked:?}"
    );
    assert!(database.in_state("replaying").await.is_empty());
    let wish = Wish {
        filter: of_ids(&[2]),
        ..wish
    };
    let (_, asked) = database.ask(&wish).await;
    asked.unwrap();
    let request = "select concat_ws(' ', edited, destination, type, content_type, payload, headers)
                   from outbox.request";
    let expected = r#"t other-events T c \x00ff {"a": "ä"}"#;
    assert_eq!(database.text(request).await, expected);
    let row = "select concat_ws(' ', destination, type, content_type, headers)
               from outbox.parked where state = 'replaying'";
    let expected = r#"policy-events PolicyIssued application/json {"tenant": "7"}"#;
    assert_eq!(database.text(row).await, expected);
}

#[tokio::test]
async fn only_the_message_that_was_looked_at_is_edited() {
    for (rows, expected, left_out) in [
        ([alone(2), alone(4)], &[4][..], 0),
        // Behind the one that came back it would overtake.
        ([refused(2, "a"), behind(4, "a")], &[], 1),
    ] {
        let database = Database::with(&rows).await;
        let (_, asked) = database.ask(&replay(of_ids(&[2]))).await;
        asked.unwrap();
        let session = database.session().await;
        let only = plan(&session, &Filter::default()).await.unwrap();
        assert_eq!((only.chosen.messages, only.last_id), (1, Some(id(4))));
        let edit = read("{}", &shown(&database, 4).await).unwrap();
        let back = "update outbox.parked set state = 'waiting'";
        database.client.batch_execute(back).await.unwrap();
        let wish = Wish {
            edit: Some(edit),
            ..replay(Filter::default())
        };
        let (answer, asked) = ask(&session, &wish, &only, &Progress::default()).await;
        asked.unwrap();
        assert_eq!(answer.left_out, left_out);
        assert_eq!(database.in_state("replaying").await, expected);
    }
}
