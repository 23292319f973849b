//! Headers of a megabyte.

use testbed::history::{Record, read};
use testbed::wait;
use tokio_postgres::Client;

use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// One header's value.
const VALUE_BYTES: i32 = 1000;
/// A megabyte of headers in all, names included.
const A_MEGABYTE: i32 = 990;
/// What the narrow topic takes.
const NARROW_BYTES: &str = "500000";

/// A transaction each: a small message, one with so many headers, and another small one, of one key.
async fn write(client: &Client, destination: &str, key: &str, headers: i32) {
    let insert = "insert into outbox.message (destination, key, type, payload, headers)
                  select $1, $2, 'T', convert_to($3, 'UTF8'),
                         coalesce((select jsonb_object_agg('h' || n, repeat('x', $5::int))
                                   from generate_series(1, $4::int) n), '{}')";
    for (payload, headers) in [("before", 0), ("large", headers), ("behind", 0)] {
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&destination, &key, &payload, &headers, &VALUE_BYTES];
        client.execute(insert, &values).await.unwrap();
    }
}

fn payloads(records: &[Record], key: &str) -> Vec<String> {
    let of_key = records
        .iter()
        .filter(|record| record.key.as_deref() == Some(key));
    of_key
        .map(|record| String::from_utf8_lossy(record.payload.as_deref().unwrap()).into_owned())
        .collect()
}

/// What was refused, by key: reason and error.
async fn refused(client: &Client, keys: &[&str]) -> Vec<String> {
    let sql = "select key || ' ' || reason || ': ' || error from outbox.parked where blocks_key order by key";
    wait::until("so many refused", DEADLINE, || async {
        client.query(sql, &[]).await.unwrap().len() == keys.len()
    })
    .await
    .unwrap();
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_megabyte_of_headers_is_published_or_set_aside_by_the_limit_that_it_broke() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let kafka = &scenario.topic().address;
    let narrow = testbed::unique::name("narrow");
    let limit = ("max.message.bytes", NARROW_BYTES);
    kafka.create_topic_with(&narrow, 1, &[limit]).await.unwrap();
    let topic = scenario.target.destination();
    let relay = scenario.start_active().await;
    write(&client, topic, "fits", A_MEGABYTE).await;
    write(&client, &narrow, "topics", A_MEGABYTE).await;
    write(&client, topic, "own", 2 * A_MEGABYTE).await;
    write(&client, topic, "small", 1).await;
    scenario.drained(&client).await;

    let all = ["before", "large", "behind"];
    let records = scenario.records().await;
    assert_eq!(payloads(&records, "fits"), all);
    assert_eq!(payloads(&records, "small"), all);
    assert_eq!(payloads(&records, "own"), ["before"]);
    let large = records
        .iter()
        .find(|record| record.header("h990").is_some());
    assert_eq!(large.unwrap().header("h1"), Some("x".repeat(1000)));
    let records = read(kafka, &[narrow.as_str()], DEADLINE).await.unwrap();
    assert_eq!(payloads(&records, "topics"), ["before"]);

    let errors = refused(&client, &["own", "topics"]).await;
    let [own, topics] = errors.as_slice() else {
        panic!("{errors:#?}")
    };
    assert!(own.starts_with("own too-large: the record has "), "{own}");
    assert!(
        own.contains("limits.message_bytes_max allows 1048576"),
        "{own}"
    );
    assert!(
        topics.starts_with("topics too-large: MessageSizeTooLarge"),
        "{topics}"
    );
    assert!(topics.contains("max.message.bytes"), "{topics}");
    assert_eq!(relay.exit().unwrap(), None);
}

/// AMQP carries the headers in one frame, whatever the message may have.
#[tokio::test]
async fn headers_that_no_frame_can_carry_are_set_aside_beside_a_queue() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, Target::queue(rabbit, "classic").await).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    let queue = scenario.target.destination();
    write(&client, queue, "large", A_MEGABYTE).await;
    write(&client, queue, "small", 1).await;
    scenario.drained(&client).await;
    let records = scenario.records().await;
    assert_eq!(payloads(&records, "small"), ["before", "large", "behind"]);
    assert_eq!(payloads(&records, "large"), ["before"]);
    let errors = refused(&client, &["large"]).await;
    assert!(errors[0].contains("a frame can carry"), "{errors:?}");
    assert_eq!(relay.exit().unwrap(), None);
}
