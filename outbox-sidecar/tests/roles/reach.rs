//! What the attribute REPLICATION brings with it, beyond the relay's own slot: docs/getting-started.md says so.

use testbed::PostgresServer;

use super::Roles;

#[tokio::test]
async fn the_attribute_replication_reads_every_change_of_its_database_and_drops_any_slot() {
    let postgres = PostgresServer::start().await.unwrap();
    let roles = Roles::on(&postgres).await;
    let (admin, relay) = (roles.admin().await, roles.as_relay().await);
    admin
        .batch_execute("create table business (secret text)")
        .await
        .unwrap();
    let make = "select pg_create_logical_replication_slot('of_the_role', 'test_decoding')";
    relay.execute(make, &[]).await.unwrap();
    let insert = "insert into business values ('of the application')";
    admin.execute(insert, &[]).await.unwrap();
    let peek = "select data from pg_logical_slot_peek_changes('of_the_role', null, null)";
    let seen = relay.query(peek, &[]).await.unwrap();
    let seen: Vec<String> = seen.iter().map(|row| row.get(0)).collect();
    assert!(
        seen.iter().any(|line| line.contains("of the application")),
        "{seen:?}"
    );
    let make = "select pg_create_logical_replication_slot('of_another', 'pgoutput')";
    admin.execute(make, &[]).await.unwrap();
    for slot in ["of_another", "of_the_role"] {
        let drop = "select pg_drop_replication_slot($1)";
        relay.execute(drop, &[&slot]).await.unwrap();
    }
}
