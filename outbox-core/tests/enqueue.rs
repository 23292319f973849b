use std::error::Error;

use outbox_core::schema::{self, SchemaName};
use outbox_core::{EnqueueError, Message, MessageError, MessageId, Outbox};
use sqlx::{Connection, PgConnection, Row};
use tokio_postgres::Client;

use crate::database::Database;

/// A stored message, as text.
#[derive(Debug, PartialEq)]
struct Stored {
    id: MessageId,
    destination: String,
    key: Option<String>,
    message_type: String,
    content_type: String,
    payload: Option<Vec<u8>>,
    headers: serde_json::Value,
}

async fn stored(connection: &mut PgConnection) -> Vec<Stored> {
    let rows = sqlx::query(
        "select id, destination, key, type, content_type, payload, headers from outbox.message \
         order by ctid",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    rows.iter()
        .map(|row| Stored {
            id: row.get::<uuid::Uuid, _>(0).into(),
            destination: row.get(1),
            key: row.get(2),
            message_type: row.get(3),
            content_type: row.get(4),
            payload: row.get(5),
            headers: row.get(6),
        })
        .collect()
}

fn full_message() -> Message {
    Message::new("policy-events", "PolicyIssued")
        .key(4711)
        .json(&serde_json::json!({"a": "back\\slash \n ä"}))
        .unwrap()
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .header("quote", "\"\\ä\n")
}

fn full_stored(id: MessageId) -> Stored {
    Stored {
        id,
        destination: "policy-events".to_owned(),
        key: Some("4711".to_owned()),
        message_type: "PolicyIssued".to_owned(),
        content_type: "application/json".to_owned(),
        payload: Some(r#"{"a":"back\\slash \n ä"}"#.as_bytes().to_vec()),
        headers: serde_json::json!({
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "quote": "\"\\ä\n",
        }),
    }
}

fn bare_stored(id: MessageId) -> Stored {
    Stored {
        id,
        destination: "d".to_owned(),
        key: None,
        message_type: "t".to_owned(),
        content_type: "application/octet-stream".to_owned(),
        payload: None,
        headers: serde_json::json!({}),
    }
}

#[tokio::test]
async fn sqlx_stores_what_was_built() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let outbox = Outbox::new();
    let mut tx = connection.begin().await.unwrap();
    let full = outbox.enqueue(&mut tx, full_message()).await.unwrap();
    let bare = outbox
        .enqueue(&mut tx, Message::new("d", "t"))
        .await
        .unwrap();
    let both = outbox
        .enqueue_all(&mut tx, [full_message(), Message::new("d", "t")])
        .await
        .unwrap();
    assert_eq!(
        stored(&mut database.sqlx().await).await,
        [],
        "nothing before the commit"
    );
    tx.commit().await.unwrap();
    let expected = [
        full_stored(full),
        bare_stored(bare),
        full_stored(both[0]),
        bare_stored(both[1]),
    ];
    assert_eq!(stored(&mut connection).await, expected);
}

#[tokio::test]
async fn tokio_postgres_stores_what_was_built() {
    let database = Database::migrated().await;
    let mut client = database.tokio_postgres().await;
    let outbox = Outbox::new();
    let mut tx = client.transaction().await.unwrap();
    let full = outbox.enqueue(&tx, full_message()).await.unwrap();
    let bare = outbox
        .enqueue(&mut tx, Message::new("d", "t"))
        .await
        .unwrap();
    let both = outbox
        .enqueue_all(&tx, [full_message(), Message::new("d", "t")])
        .await
        .unwrap();
    let mut reader = database.sqlx().await;
    assert_eq!(stored(&mut reader).await, [], "nothing before the commit");
    tx.commit().await.unwrap();
    let expected = [
        full_stored(full),
        bare_stored(bare),
        full_stored(both[0]),
        bare_stored(both[1]),
    ];
    assert_eq!(stored(&mut reader).await, expected);
}

#[tokio::test]
async fn rollback_leaves_nothing() {
    let database = Database::migrated().await;
    let outbox = Outbox::new();
    let mut connection = database.sqlx().await;
    let mut tx = connection.begin().await.unwrap();
    outbox.enqueue(&mut tx, full_message()).await.unwrap();
    tx.rollback().await.unwrap();

    let mut client: Client = database.tokio_postgres().await;
    let tx = client.transaction().await.unwrap();
    outbox
        .enqueue_all(&tx, [full_message(), full_message()])
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(stored(&mut connection).await, []);
}

/// Message ids in the order in which a relay receives them.
async fn decoded(connection: &mut PgConnection, slot: &str) -> Vec<MessageId> {
    sqlx::query_scalar::<_, String>(
        "select substring(encode(data, 'escape') \
             from '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}') \
         from pg_logical_slot_get_binary_changes($1, null, null, \
             'proto_version', '1', 'publication_names', 'p') \
         where get_byte(data, 0) = ascii('I')",
    )
    .bind(slot)
    .fetch_all(connection)
    .await
    .unwrap()
    .iter()
    .map(|id| id.parse().unwrap())
    .collect()
}

#[tokio::test]
async fn a_thousand_keep_their_order() {
    let database = Database::migrated().await;
    let outbox = Outbox::new();
    let messages = || (0..1000).map(|n| Message::new("d", "t").key(n).bytes(vec![7; n]));
    let mut connection = database.sqlx().await;
    sqlx::query(
        "create publication p for table outbox.message \
         with (publish = 'insert', publish_via_partition_root = true)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query("select pg_create_logical_replication_slot($1, 'pgoutput')")
        .bind(&database.name)
        .execute(&mut connection)
        .await
        .unwrap();

    let mut tx = connection.begin().await.unwrap();
    let mut ids = outbox.enqueue_all(&mut tx, messages()).await.unwrap();
    tx.commit().await.unwrap();
    let mut client = database.tokio_postgres().await;
    let tx = client.transaction().await.unwrap();
    ids.extend(outbox.enqueue_all(&tx, messages()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(ids.len(), 2000);
    assert!(
        decoded(&mut connection, &database.name).await == ids,
        "another order"
    );

    sqlx::query("select pg_drop_replication_slot($1)")
        .bind(&database.name)
        .execute(&mut connection)
        .await
        .unwrap();
    let right: i64 =
        sqlx::query_scalar("select count(*) from outbox.message where length(payload) = key::int")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(right, 2000);
    let mut tx = connection.begin().await.unwrap();
    assert_eq!(outbox.enqueue_all(&mut tx, []).await.unwrap(), []);
}

#[tokio::test]
async fn invalid_message_runs_no_sql() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let outbox = Outbox::new().message_bytes_max(100);
    let mut tx = connection.begin().await.unwrap();
    let messages = [
        Message::new("d", "t"),
        Message::new("d", "t").bytes(vec![0; 100]),
    ];
    let error = outbox.enqueue_all(&mut tx, messages).await.unwrap_err();
    assert!(
        matches!(
            error,
            EnqueueError::Invalid {
                index: 1,
                source: MessageError::TooLarge { .. }
            }
        ),
        "{error:?}"
    );
    // The transaction is unharmed.
    let id = outbox
        .enqueue(&mut tx, Message::new("d", "t"))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(stored(&mut connection).await, [bare_stored(id)]);
}

#[tokio::test]
async fn driver_errors_stay_the_source_and_a_rollback_mends_them() {
    let database = Database::migrated().await;
    let outbox = Outbox::new();
    let mut connection = database.sqlx().await;
    let mut client = database.tokio_postgres().await;
    sqlx::query("alter table outbox.message add constraint refuse check (key <> 'refused')")
        .execute(&mut connection)
        .await
        .unwrap();
    let refused = || Message::new("d", "t").key("refused");
    for messages in [vec![refused()], vec![Message::new("d", "t"), refused()]] {
        let mut tx = connection.begin().await.unwrap();
        let error = outbox
            .enqueue_all(&mut tx, messages.clone())
            .await
            .unwrap_err();
        let source = error
            .source()
            .unwrap()
            .downcast_ref::<sqlx::Error>()
            .unwrap();
        assert_eq!(source.as_database_error().unwrap().code().unwrap(), "23514");
        tx.rollback().await.unwrap();

        let tx = client.transaction().await.unwrap();
        let error = outbox.enqueue_all(&tx, messages).await.unwrap_err();
        let source = error
            .source()
            .unwrap()
            .downcast_ref::<tokio_postgres::Error>()
            .unwrap();
        assert_eq!(source.code().unwrap().code(), "23514");
        tx.rollback().await.unwrap();
    }
    let mut tx = connection.begin().await.unwrap();
    let id = outbox
        .enqueue(&mut tx, Message::new("d", "t"))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(stored(&mut connection).await, [bare_stored(id)]);
}

#[tokio::test]
async fn odd_schema_name_works_everywhere() {
    let database = Database::create().await;
    let mut connection = database.sqlx().await;
    let name: SchemaName = "Billing Outbox".parse().unwrap();
    schema::migrate_in(&mut connection, &name).await.unwrap();
    let outbox = Outbox::in_schema("Billing Outbox").unwrap();
    let mut tx = connection.begin().await.unwrap();
    outbox.enqueue(&mut tx, full_message()).await.unwrap();
    outbox
        .enqueue_all(&mut tx, [full_message(), full_message()])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    sqlx::query(r#"select "Billing Outbox".enqueue('d', 't', '{}'::jsonb)"#)
        .execute(&mut connection)
        .await
        .unwrap();
    let rows: i64 = sqlx::query_scalar(r#"select count(*) from "Billing Outbox".message"#)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(rows, 4);
    assert!(Outbox::in_schema("").is_err());
}
