use outbox_core::schema::{SchemaName, grants};
use outbox_core::{Acceptance, Inbox, Message, MessageId, Outbox, inbox};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::database::Database;

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), String> {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
    {
        Ok(_) => Ok(()),
        Err(error) => Err(error
            .as_database_error()
            .unwrap()
            .code()
            .unwrap()
            .into_owned()),
    }
}

const DENIED: &str = "42501";

#[tokio::test]
async fn app_role_enqueues_and_nothing_else() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let role = format!("{} app", database.name);
    let sql = grants::app_role(&SchemaName::default(), &role);
    run(
        &mut connection,
        &format!("create role \"{role}\"; {sql} set role \"{role}\""),
    )
    .await
    .unwrap();

    run(&mut connection, "select outbox.enqueue('d', 't', 'text')")
        .await
        .unwrap();
    run(
        &mut connection,
        "select outbox.enqueue('d', 't', '{}'::jsonb)",
    )
    .await
    .unwrap();
    let mut tx = connection.begin().await.unwrap();
    let outbox = Outbox::new();
    outbox
        .enqueue(&mut tx, Message::new("d", "t"))
        .await
        .unwrap();
    let messages = [Message::new("d", "t"), Message::new("d", "t")];
    outbox.enqueue_all(&mut tx, messages).await.unwrap();
    tx.commit().await.unwrap();

    for denied in [
        "select from outbox.message",
        "delete from outbox.message",
        "update outbox.message set key = ''",
        "select from outbox.relay",
        "select from outbox.parked",
        "select outbox.maintain_partitions()",
        "create table outbox.mine ()",
    ] {
        assert_eq!(
            run(&mut connection, denied).await,
            Err(DENIED.to_owned()),
            "{denied}"
        );
    }
}

#[tokio::test]
async fn whoever_the_tables_belong_to_keeps_his_rights_as_the_relays_role() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let role = format!("{}_owner's", database.name);
    let sql = grants::relay_role(&SchemaName::default(), &role);
    run(
        &mut connection,
        &format!(
            "create role \"{role}\"; grant usage on schema outbox to \"{role}\";
             alter table outbox.relay owner to \"{role}\"; {sql} set role \"{role}\";
             insert into outbox.relay (name) values ('r')"
        ),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn relay_role_reads_and_keeps_its_row() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let role = format!("{}_relay", database.name);
    let sql = grants::relay_role(&SchemaName::default(), &role);
    run(
        &mut connection,
        &format!("insert into outbox.relay (name) values ('r'); create role {role}; {sql} set role {role}"),
    )
    .await
    .unwrap();

    for allowed in [
        "select from outbox.message",
        "select * from outbox.maintain_partitions(9)",
        "update outbox.relay set epoch = epoch + 1 where name = 'r'",
        "select from outbox.message_default",
        "insert into outbox.parked (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id, destination,
                                    type, content_type, headers, created_at, reason, error, attempts,
                                    blocks_key)
         values ('r', '1', 1, '0/1', 0, 1, now(), gen_random_uuid(), 'd', 't', 'c', '{}', now(), 'r', '', 1,
                 false)",
        "select from outbox.parked",
        "update outbox.redelivery set reason = 'r', error = ''",
        "delete from outbox.redelivery",
        "update outbox.relay set held_exit_code = 6, held_reason = 'r', held_at = now(), updated_at = now()",
        "update outbox.relay set checkpoint = '', checkpoint_sequence = 1",
    ] {
        assert_eq!(run(&mut connection, allowed).await, Ok(()), "{allowed}");
    }
    // What an earlier build granted is taken back, and nothing else.
    run(
        &mut connection,
        &format!(
            "reset role; grant insert, update on outbox.relay, outbox.parked to {role}; {sql} set role {role};
             select from outbox.relay for update"
        ),
    )
    .await
    .unwrap();
    for denied in [
        "insert into outbox.message (destination, type) values ('d', 't')",
        "delete from outbox.message",
        "insert into outbox.relay (name) values ('other')",
        "delete from outbox.relay",
        "update outbox.relay set name = 'other'",
        "update outbox.relay set genesis_written_at = null",
        "delete from outbox.parked",
        "update outbox.parked set payload = ''",
        "insert into outbox.request (relay, kind, chosen, role) values ('r', 'replay', 1, 'nobody')",
        "update outbox.request set chosen = 2",
    ] {
        assert_eq!(
            run(&mut connection, denied).await,
            Err(DENIED.to_owned()),
            "{denied}"
        );
    }
}

#[tokio::test]
async fn operator_role_asks_for_replays_under_its_own_name() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let role = format!("{}_operator", database.name);
    let sql = grants::operator_role(&SchemaName::default(), &role);
    run(
        &mut connection,
        &format!(
            "insert into outbox.parked (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id,
                                        destination, type, content_type, headers, created_at, reason, error,
                                        attempts, blocks_key)
             values ('r', '1', 1, '0/1', 0, 1, now(), gen_random_uuid(), 'd', 't', 'c', '{{}}', now(), 'r', '',
                     1, false);
             create role {role}; {sql} set session authorization {role}"
        ),
    )
    .await
    .unwrap();

    for allowed in [
        "select * from outbox.parked for update",
        "insert into outbox.request (id, relay, kind, chosen, actor, note)
         values ('00000000-0000-0000-0000-000000000001', 'r', 'replay', 1, 'somebody else', 'n')",
        "update outbox.parked set state = 'replaying', request = '00000000-0000-0000-0000-000000000001',
                request_index = 0, replays = replays + 1, actor = 'a', note = 'n'",
    ] {
        assert_eq!(run(&mut connection, allowed).await, Ok(()), "{allowed}");
    }
    let asked = "select role from outbox.request";
    let asked: String = sqlx::query_scalar(asked)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(asked, role);
    for denied in [
        "delete from outbox.parked",
        "update outbox.parked set payload = null",
        "update outbox.request set actor = 'nobody'",
        "insert into outbox.request (relay, kind, chosen, role) values ('r', 'replay', 1, 'nobody')",
        "delete from outbox.request",
        "select from outbox.message",
        "update outbox.relay set epoch = epoch + 1",
    ] {
        assert_eq!(
            run(&mut connection, denied).await,
            Err(DENIED.to_owned()),
            "{denied}"
        );
    }
}

#[tokio::test]
async fn redelivering_role_reads_the_outbox_and_copies_from_it() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let role = format!("{}_redelivering", database.name);
    let schema = SchemaName::default();
    let (operator, more) = (
        grants::operator_role(&schema, &role),
        grants::redelivering_role(&schema, &role),
    );
    run(
        &mut connection,
        &format!("create role {role}; {operator} {more} set session authorization {role}"),
    )
    .await
    .unwrap();

    for allowed in [
        "select xmin, cmin, tableoid, ctid, * from outbox.message",
        "create temporary table chosen (place bigint)",
        "insert into outbox.request (id, relay, kind, chosen)
         values ('00000000-0000-0000-0000-000000000001', 'r', 'redeliver', 1);
         insert into outbox.redelivery (request, number, id, destination, type, content_type, headers,
                                        created_at)
         values ('00000000-0000-0000-0000-000000000001', 0, gen_random_uuid(), 'd', 't', 'c', '{}',
                 now())",
        "select from outbox.redelivery",
    ] {
        assert_eq!(run(&mut connection, allowed).await, Ok(()), "{allowed}");
    }
    for denied in [
        "insert into outbox.message (destination, type) values ('d', 't')",
        "delete from outbox.message",
        "update outbox.redelivery set payload = null",
        "delete from outbox.redelivery",
    ] {
        assert_eq!(
            run(&mut connection, denied).await,
            Err(DENIED.to_owned()),
            "{denied}"
        );
    }
}

#[tokio::test]
async fn consumer_role_accepts_and_reads_and_nothing_else() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let role = format!("{}_consumer", database.name);
    let sql = grants::consumer_role(&SchemaName::default(), &role);
    run(
        &mut connection,
        &format!("create role {role}; {sql} set role {role}"),
    )
    .await
    .unwrap();

    let inbox = Inbox::new();
    let id = MessageId::generate();
    let mut tx = connection.begin().await.unwrap();
    let answers = [
        inbox.accept(&mut tx, "c", id).await.unwrap(),
        inbox.accept_all(&mut tx, "c", &[id]).await.unwrap()[0],
    ];
    assert_eq!(answers, [Acceptance::Accepted, Acceptance::Duplicate]);
    tx.commit().await.unwrap();
    outbox_core::schema::migrate(&mut connection).await.unwrap();

    let allowed = "select consumer, message_id, received_at from outbox.inbox";
    assert_eq!(run(&mut connection, allowed).await, Ok(()));
    for denied in [
        "delete from outbox.inbox",
        "update outbox.inbox set consumer = 'other'",
        "truncate outbox.inbox",
        "insert into outbox.inbox values ('c', gen_random_uuid(), now())",
        "select outbox.forget_inbox()",
        "select from outbox.message",
        "insert into outbox.message (destination, type) values ('d', 't')",
    ] {
        assert_eq!(
            run(&mut connection, denied).await,
            Err(DENIED.to_owned()),
            "{denied}"
        );
    }
}

#[tokio::test]
async fn inbox_keeper_role_forgets_and_nothing_else() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let role = format!("{}_keeper", database.name);
    let sql = grants::inbox_keeper_role(&SchemaName::default(), &role);
    run(
        &mut connection,
        &format!(
            "insert into outbox.inbox values ('c', gen_random_uuid(), now() - interval '16 days'); \
             create role {role}; {sql} set role {role}"
        ),
    )
    .await
    .unwrap();

    let forgotten = Inbox::new()
        .forget(&mut connection, inbox::RETENTION_DEFAULT)
        .await;
    assert_eq!(forgotten.unwrap(), 1);
    for denied in [
        "select from outbox.inbox",
        "delete from outbox.inbox",
        "insert into outbox.inbox values ('c', gen_random_uuid())",
    ] {
        assert_eq!(
            run(&mut connection, denied).await,
            Err(DENIED.to_owned()),
            "{denied}"
        );
    }
}
