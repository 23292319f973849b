use outbox_core::schema::{self, MigrateError, SchemaName};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::database::Database;

/// How many versions of the schema there are.
const VERSIONS: usize = 9;

async fn count(connection: &mut PgConnection, from: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {from}")))
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_instances_migrate_at_once() {
    let database = Database::create().await;
    let mut instances = Vec::new();
    for number in 0..8 {
        if number % 2 == 0 {
            let mut connection = database.sqlx().await;
            instances.push(tokio::spawn(async move {
                schema::migrate(&mut connection).await
            }));
        } else {
            let client = database.tokio_postgres().await;
            instances.push(tokio::spawn(async move { schema::migrate(&client).await }));
        }
    }
    for instance in instances {
        instance.await.unwrap().unwrap();
    }
    let mut connection = database.sqlx().await;
    let applied = count(&mut connection, "outbox.migration").await;
    assert_eq!(usize::try_from(applied), Ok(VERSIONS));
    let partitions = "pg_inherits where inhparent = 'outbox.message'::regclass";
    assert_eq!(
        count(&mut connection, partitions).await,
        9,
        "default, today, 7 ahead"
    );
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = Database::migrated().await;
    let mut client = database.tokio_postgres().await;
    let before = client
        .query_one("select max(applied_at)::text from outbox.migration", &[])
        .await
        .unwrap();
    schema::migrate(&mut client).await.unwrap();
    let after = client
        .query_one("select max(applied_at)::text from outbox.migration", &[])
        .await
        .unwrap();
    assert_eq!(before.get::<_, String>(0), after.get::<_, String>(0));
}

#[tokio::test]
async fn newer_database_is_refused() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    sqlx::query("insert into outbox.migration (version, name, checksum) values (900, 'x', 'x')")
        .execute(&mut connection)
        .await
        .unwrap();
    let error = schema::migrate(&mut connection).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Newer { found: 900, .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("deploy a program with a newer"),
        "{error}"
    );
}

#[tokio::test]
async fn altered_database_is_refused() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    sqlx::query("update outbox.migration set checksum = 'x' where version = 2")
        .execute(&mut connection)
        .await
        .unwrap();
    let error = schema::migrate(&mut connection).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Altered { version: 2, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn failed_migration_leaves_nothing() {
    let database = Database::create().await;
    let mut connection = database.sqlx().await;
    // Stands in the way of the third version.
    sqlx::raw_sql(
        "create schema outbox; \
         create function outbox.enqueue(text, text, bytea, text, jsonb, text) returns uuid \
         return gen_random_uuid()",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let error = schema::migrate(&mut connection).await.unwrap_err();
    assert!(matches!(error, MigrateError::Database { .. }), "{error}");
    let tables = "pg_class where relnamespace = 'outbox'::regnamespace";
    assert_eq!(count(&mut connection, tables).await, 0);
}

#[tokio::test]
async fn printed_steps_are_what_migrate_does() {
    let database = Database::create().await;
    let client = database.tokio_postgres().await;
    let name: SchemaName = "Billing \"Outbox\"".parse().unwrap();
    for step in schema::steps(&name) {
        client.batch_execute(&step.sql).await.unwrap();
    }
    schema::migrate_in(&client, &name).await.unwrap();
    let rows = client
        .query(r#"select version from "Billing ""Outbox""".migration"#, &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), VERSIONS);
}

#[tokio::test]
async fn role_without_rights_passes_when_nothing_is_pending() {
    let database = Database::migrated().await;
    let mut connection = database.sqlx().await;
    let role = format!("{}_app", database.name);
    let grants = schema::grants::app_role(&SchemaName::default(), &role);
    sqlx::raw_sql(AssertSqlSafe(format!(
        "create role {role}; {grants} set role {role};"
    )))
    .execute(&mut connection)
    .await
    .unwrap();
    schema::migrate(&mut connection).await.unwrap();
}

#[tokio::test]
async fn role_migrates_the_schema_that_was_made_for_it() {
    let database = Database::create().await;
    let mut connection = database.sqlx().await;
    let role = format!("{}_owner", database.name);
    sqlx::raw_sql(AssertSqlSafe(format!(
        "create role {role}; create schema outbox authorization {role}; set role {role};"
    )))
    .execute(&mut connection)
    .await
    .unwrap();
    schema::migrate(&mut connection).await.unwrap();
    schema::migrate(&mut connection).await.unwrap();
}
