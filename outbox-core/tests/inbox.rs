//! What the inbox answers, through both clients, to one consumer after the other.

use outbox_core::schema::{self, SchemaName};
use outbox_core::{Acceptance, Inbox, InboxError, MessageId};
use sqlx::{Connection, PgConnection};

use crate::database::Database;
use Acceptance::{Accepted, Duplicate};

async fn rows(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from outbox.inbox")
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn sqlx_accepts_once_for_each_consumer() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let inbox = Inbox::new();
    let [first, second] = [MessageId::generate(), MessageId::generate()];

    let mut tx = connection.begin().await.unwrap();
    assert_eq!(inbox.accept(&mut tx, "a", first).await.unwrap(), Accepted);
    assert_eq!(inbox.accept(&mut tx, "a", first).await.unwrap(), Duplicate);
    assert_eq!(inbox.accept(&mut tx, "b", first).await.unwrap(), Accepted);
    tx.commit().await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    assert_eq!(inbox.accept(&mut tx, "a", first).await.unwrap(), Duplicate);
    assert_eq!(inbox.accept(&mut tx, "a", second).await.unwrap(), Accepted);
    tx.commit().await.unwrap();
    assert_eq!(rows(&mut connection).await, 3);
}

#[tokio::test]
async fn tokio_postgres_accepts_once_for_each_consumer() {
    let database = Database::migrated().await;
    let mut client = database.tokio_postgres().await;
    let inbox = Inbox::new();
    let [first, second] = [MessageId::generate(), MessageId::generate()];

    let mut tx = client.transaction().await.unwrap();
    assert_eq!(inbox.accept(&tx, "a", first).await.unwrap(), Accepted);
    assert_eq!(inbox.accept(&mut tx, "a", first).await.unwrap(), Duplicate);
    assert_eq!(inbox.accept(&tx, "b", first).await.unwrap(), Accepted);
    tx.commit().await.unwrap();
    let tx = client.transaction().await.unwrap();
    assert_eq!(inbox.accept(&tx, "a", first).await.unwrap(), Duplicate);
    assert_eq!(inbox.accept(&tx, "a", second).await.unwrap(), Accepted);
    tx.commit().await.unwrap();
    assert_eq!(rows(&mut database.sqlx().await).await, 3);
}

#[tokio::test]
async fn a_rollback_forgets() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let inbox = Inbox::new();
    let id = MessageId::generate();
    let mut tx = connection.begin().await.unwrap();
    assert_eq!(inbox.accept(&mut tx, "a", id).await.unwrap(), Accepted);
    tx.rollback().await.unwrap();

    let mut client = database.tokio_postgres().await;
    let mut tx = client.transaction().await.unwrap();
    let savepoint = tx.savepoint("before").await.unwrap();
    let ids = [id, MessageId::generate()];
    let answers = inbox.accept_all(&savepoint, "a", &ids);
    assert_eq!(answers.await.unwrap(), [Accepted, Accepted]);
    savepoint.rollback().await.unwrap();
    assert_eq!(inbox.accept(&tx, "a", id).await.unwrap(), Accepted);
    tx.commit().await.unwrap();
    assert_eq!(rows(&mut connection).await, 1);
}

/// Ids that are new, known and twice in the batch, and the answers to them.
fn batch(known: MessageId) -> (Vec<MessageId>, Vec<Acceptance>) {
    let [new, twice] = [MessageId::generate(), MessageId::generate()];
    (
        vec![twice, known, new, twice, known],
        vec![Accepted, Duplicate, Accepted, Duplicate, Duplicate],
    )
}

#[tokio::test]
async fn a_batch_is_answered_id_by_id() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let inbox = Inbox::new();
    let known = MessageId::generate();
    let mut tx = connection.begin().await.unwrap();
    assert_eq!(inbox.accept(&mut tx, "a", known).await.unwrap(), Accepted);
    let (ids, expected) = batch(known);
    let answers = inbox.accept_all(&mut tx, "a", &ids).await.unwrap();
    assert_eq!(answers, expected);
    tx.commit().await.unwrap();

    let mut client = database.tokio_postgres().await;
    let mut tx = client.transaction().await.unwrap();
    let (ids, expected) = batch(known);
    let answers = inbox.accept_all(&tx, "a", &ids).await.unwrap();
    assert_eq!(answers, expected);
    assert_eq!(inbox.accept_all(&mut tx, "a", &[]).await.unwrap(), []);
    tx.commit().await.unwrap();
    assert_eq!(rows(&mut connection).await, 5);

    // As large as a consumer may ever read at once; half of it known.
    let ids: Vec<MessageId> = (0..20_000).map(|_| MessageId::generate()).collect();
    let mut tx = connection.begin().await.unwrap();
    let half = inbox.accept_all(&mut tx, "a", &ids[..10_000]).await;
    assert!(half.unwrap().iter().all(|answer| *answer == Accepted));
    let all = inbox.accept_all(&mut tx, "a", &ids).await.unwrap();
    let new = all.iter().position(|answer| *answer == Accepted);
    assert_eq!((new, all.len()), (Some(10_000), 20_000));
    assert!(all[10_000..].iter().all(|answer| *answer == Accepted));
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn an_impossible_consumer_runs_no_sql() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let inbox = Inbox::new();
    let id = MessageId::generate();
    let mut tx = connection.begin().await.unwrap();
    for name in ["", "a\0", &"x".repeat(256)] {
        let error = inbox.accept(&mut tx, name, id).await.unwrap_err();
        assert!(matches!(error, InboxError::Consumer { .. }), "{error:?}");
        let error = inbox.accept_all(&mut tx, name, &[id]).await.unwrap_err();
        assert!(matches!(error, InboxError::Consumer { .. }), "{error:?}");
    }
    // The transaction is unharmed, and what is allowed here the table allows.
    let longest = "ä".repeat(127) + "x";
    let answer = inbox.accept(&mut tx, &longest, id).await.unwrap();
    assert_eq!(answer, Accepted);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn plain_sql_and_the_library_share_an_inbox() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let id = MessageId::generate();
    let plain = "insert into outbox.inbox (consumer, message_id) values ('a', $1) \
                 on conflict (consumer, message_id) do nothing";
    let mut affected = Vec::new();
    for _ in 0..2 {
        let done = sqlx::query(plain).bind(uuid::Uuid::from(id));
        affected.push(done.execute(&mut connection).await.unwrap().rows_affected());
    }
    assert_eq!(affected, [1, 0]);
    let mut tx = connection.begin().await.unwrap();
    let answer = Inbox::new().accept(&mut tx, "a", id).await.unwrap();
    assert_eq!(answer, Duplicate);

    // A batch, as docs/inbox.md has it.
    let plain = "insert into outbox.inbox (consumer, message_id) \
                 select $1, id from (select distinct unnest($2::uuid[]) as id) as ids order by id \
                 on conflict (consumer, message_id) do nothing \
                 returning message_id";
    let new = MessageId::generate();
    let ids: Vec<uuid::Uuid> = [new, id, new].map(uuid::Uuid::from).to_vec();
    let taken: Vec<uuid::Uuid> = sqlx::query_scalar(plain)
        .bind("a")
        .bind(ids)
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(taken, [uuid::Uuid::from(new)]);
}

#[tokio::test]
async fn odd_schema_name_works_everywhere() {
    let database = Database::create().await;
    let mut connection = database.sqlx().await;
    let name: SchemaName = "Billing 'Inbox'".parse().unwrap();
    schema::migrate_in(&mut connection, &name).await.unwrap();
    let inbox = Inbox::in_schema(name.as_str()).unwrap();
    let id = MessageId::generate();
    let mut tx = connection.begin().await.unwrap();
    assert_eq!(inbox.accept(&mut tx, "a", id).await.unwrap(), Accepted);
    let answers = inbox.accept_all(&mut tx, "a", &[id]).await.unwrap();
    assert_eq!(answers, [Duplicate]);
    tx.commit().await.unwrap();
    let forgotten = inbox.forget(&mut connection, outbox_core::inbox::RETENTION_MIN);
    assert_eq!(forgotten.await.unwrap(), 0);
    assert!(Inbox::in_schema("").is_err());
}
