//! What the server makes of our publications.

use testbed::PostgresAddress;
use tokio_postgres::Client;

use super::{Publication, Shard, create_statement, read_publication, row_filter};

const NAME: &str = "outbox_policy";

async fn database(server: &PostgresAddress) -> Client {
    let database = server.create_database().await.unwrap();
    let mut client = server.connect(server.superuser(), &database).await.unwrap();
    outbox_core::schema::migrate(&mut client).await.unwrap();
    client
}

async fn create(client: &Client, destinations: &[&str], shard: &str) -> String {
    let destinations: Vec<_> = destinations.iter().map(ToString::to_string).collect();
    let shard: Shard = shard.parse().unwrap();
    let filter = row_filter(&destinations, shard).unwrap();
    let schema = "outbox".parse().unwrap();
    let sql = create_statement(NAME, &schema, filter.as_deref());
    client.batch_execute(&sql).await.unwrap();
    filter.unwrap_or_else(|| "true".to_owned())
}

async fn read(client: &Client) -> Option<Publication> {
    read_publication(client, NAME, &"outbox".parse().unwrap())
        .await
        .unwrap()
}

async fn fault(client: &Client, sql: &str) -> String {
    let whole = format!("begin; drop publication if exists {NAME}; {sql}");
    client.batch_execute(&whole).await.unwrap();
    let read = read(client).await.unwrap();
    client.batch_execute("rollback").await.unwrap();
    read.fault.unwrap()
}

#[tokio::test]
async fn the_fingerprint_changes_with_the_publication_and_with_nothing_else() {
    let client = database(testbed::shared_postgres().await.unwrap()).await;
    assert_eq!(read(&client).await, None);
    create(&client, &["policy_*", "it's"], "1/3").await;
    let publication = read(&client).await.unwrap();
    assert_eq!(publication.fault, None);
    let unrelated = "alter table outbox.message add column tenant text; \
                     create table elsewhere (x int); set search_path = elsewhere, public; \
                     comment on publication outbox_policy is 'of policies'; \
                     begin; alter publication outbox_policy set (publish = ''); rollback";
    client.batch_execute(unrelated).await.unwrap();
    assert_eq!(read(&client).await.unwrap(), publication);
    let narrower =
        format!("alter publication {NAME} set table outbox.message where (destination = 'policy')");
    client.batch_execute(&narrower).await.unwrap();
    let narrowed = read(&client).await.unwrap();
    assert_ne!(narrowed.fingerprint(), publication.fingerprint());
}

#[tokio::test]
async fn what_was_altered_and_put_back_has_the_same_definition_and_another_fingerprint() {
    let client = database(testbed::shared_postgres().await.unwrap()).await;
    create(&client, &["*"], "0/1").await;
    let mut before = read(&client).await.unwrap();
    for (altered, put_back) in [
        (
            "set table outbox.message where (destination = 'elsewhere')",
            "set table outbox.message",
        ),
        ("drop table outbox.message", "add table outbox.message"),
        ("set (publish = '')", "set (publish = 'insert')"),
    ] {
        for how in [altered, put_back] {
            let sql = format!("alter publication {NAME} {how}");
            client.batch_execute(&sql).await.unwrap();
        }
        let after = read(&client).await.unwrap();
        assert_eq!(after.definition, before.definition, "{altered}");
        assert_ne!(after.fingerprint(), before.fingerprint(), "{altered}");
        before = after;
    }
}

/// What the server does to its catalogs by itself, or for the sake of order.
#[tokio::test]
async fn the_upkeep_of_the_catalogs_changes_no_fingerprint() {
    let client = database(testbed::shared_postgres().await.unwrap()).await;
    create(&client, &["policy_*"], "0/1").await;
    let before = read(&client).await.unwrap().fingerprint();
    for upkeep in ["vacuum (freeze)", "vacuum (full, freeze)", "analyze"] {
        for catalog in ["pg_publication", "pg_publication_rel"] {
            let sql = format!("{upkeep} pg_catalog.{catalog}");
            client.batch_execute(&sql).await.unwrap();
        }
        assert_eq!(
            read(&client).await.unwrap().fingerprint(),
            before,
            "{upkeep}"
        );
    }
}

#[tokio::test]
async fn what_makes_a_publication_unfit_is_named() {
    let client = database(testbed::shared_postgres().await.unwrap()).await;
    let only = "with (publish = 'insert', publish_via_partition_root = true)";
    for (sql, said) in [
        ("for table outbox.message".to_owned(), "publish inserts"),
        (
            "for table outbox.message with (publish = 'insert')".to_owned(),
            "publish_via_partition_root",
        ),
        (format!("for all tables {only}"), "nothing else"),
        (
            format!("for tables in schema outbox {only}"),
            "nothing else",
        ),
        (
            format!("for table outbox.message, outbox.relay {only}"),
            "nothing else",
        ),
        (format!("for table outbox.relay {only}"), "nothing else"),
        (
            format!("for table outbox.message (id, destination, created_at) {only}"),
            "leaves out the column key, type",
        ),
    ] {
        let fault = fault(&client, &format!("create publication {NAME} {sql}")).await;
        assert!(fault.contains(said), "{sql}: {fault}");
    }
}

/// The server accepts the filter, every row is in exactly one shard, and so is every key.
#[tokio::test]
async fn shards_divide_the_rows_by_key() {
    let client = database(testbed::shared_postgres().await.unwrap()).await;
    client
        .batch_execute(
            "insert into outbox.message (destination, key, type) \
             select 'd', case when n % 3 > 0 then 'k' || n % 500 end, 't' \
             from generate_series(1, 6000) n",
        )
        .await
        .unwrap();
    let mut total = 0;
    for shard in 0..4 {
        let filter = create(&client, &["*"], &format!("{shard}/4")).await;
        let sql = format!(
            "select count(*), count(*) filter (where key is null) from outbox.message where {filter}"
        );
        let row = client.query_one(&sql, &[]).await.unwrap();
        let (rows, keyless): (i64, i64) = (row.get(0), row.get(1));
        assert!(rows > 1000 && keyless > 300, "{shard}: {rows}, {keyless}");
        total += rows;
        let split = format!(
            "select count(*) from outbox.message m where ({filter}) and exists \
             (select from outbox.message o where o.key = m.key and not ({}))",
            filter.replace("key", "o.key").replace("id)", "o.id)")
        );
        let row = client.query_one(&split, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 0);
        let drop_it = format!("drop publication {NAME}");
        client.batch_execute(&drop_it).await.unwrap();
    }
    assert_eq!(total, 6000);
}

#[tokio::test]
async fn a_pattern_matches_what_it_says() {
    let client = database(testbed::shared_postgres().await.unwrap()).await;
    let names = [
        r"policy_a",
        "policyXa",
        r"policy_",
        r"50%\o'k",
        r"50x\o'k",
        "other",
    ];
    for name in names {
        let sql = "insert into outbox.message (destination, type) values ($1, 't')";
        client.execute(sql, &[&name]).await.unwrap();
    }
    for (patterns, matches) in [
        (vec!["*"], names.to_vec()),
        (vec!["policy_*"], vec!["policy_", "policy_a"]),
        (vec![r"50%\o'*"], vec![r"50%\o'k"]),
        (vec![r"50%\o'k"], vec![r"50%\o'k"]),
        (vec!["*a", "other"], vec!["other", "policyXa", "policy_a"]),
    ] {
        let filter = create(&client, &patterns, "0/1").await;
        let sql = format!(
            "select array_agg(destination order by destination collate \"C\") \
             from outbox.message where {filter}"
        );
        let row = client.query_one(&sql, &[]).await.unwrap();
        let mut expected = matches;
        expected.sort_unstable();
        assert_eq!(row.get::<_, Vec<String>>(0), expected, "{patterns:?}");
        let drop_it = format!("drop publication {NAME}");
        client.batch_execute(&drop_it).await.unwrap();
    }
}
