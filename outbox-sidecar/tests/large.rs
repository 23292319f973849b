//! Transactions larger than any batch, and rows larger than any buffer.

use testbed::history::read;

use crate::scenario::memory::allocated_kibibytes_max;
use crate::scenario::{DEADLINE, Scenario};
use crate::trials::large_transaction::one_transaction_with_kills;

#[tokio::test]
async fn a_large_transaction_is_resumed_in_its_middle() {
    one_transaction_with_kills(100_000, 3).await;
}

const MEBIBYTE: i32 = 1 << 20;
/// The largest payload, with some room for key and headers below 64 MiB.
const LARGE_BYTES: i32 = 63 * MEBIBYTE;
/// What such rows may take: each is copied into the client's queue, and stands there while the
/// next one arrives.
const MEMORY_KIBIBYTES_MAX: u64 = 8 * 64 * 1024;

/// Rows far larger than the relay's buffer, between small ones of their key.
#[tokio::test]
async fn a_row_of_64_mebibytes_is_published_or_set_aside_by_the_limit_that_it_broke() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let kafka = &scenario.topic().address;
    let wide = testbed::unique::name("wide");
    let limit = ("max.message.bytes", "70000000");
    kafka.create_topic_with(&wide, 1, &[limit]).await.unwrap();
    let narrow = scenario.target.destination();
    let insert = "insert into outbox.message (destination, key, type, payload)
                  select $1, $2, 'T', convert_to(repeat('x', n), 'UTF8')
                  from unnest(array[1, $3::int, 2]) as n";
    let write = async |destination: &str, key: &str, bytes: i32| {
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&destination, &key, &bytes];
        client.execute(insert, &values).await.unwrap();
    };
    let lengths = async |topic: &str| -> Vec<i32> {
        let records = read(kafka, &[topic], DEADLINE).await.unwrap();
        let lengths = records
            .iter()
            .map(|record| record.payload.as_ref().unwrap().len());
        lengths
            .map(|length| i32::try_from(length).unwrap())
            .collect()
    };

    // Beyond the relay's own limit, which is that of a topic by default.
    let relay = scenario.start_active().await;
    write(&wide, "a", LARGE_BYTES).await;
    scenario.drained(&client).await;
    assert_eq!(lengths(&wide).await, [1]);
    relay.kill().await.unwrap();

    // Beyond the topic's.
    let relay = scenario.start_with(&["limits.message_bytes_max=64MiB"]);
    scenario.phase("active").await;
    write(&wide, "b", LARGE_BYTES).await;
    write(narrow, "b", LARGE_BYTES).await;
    scenario.drained(&client).await;
    assert_eq!(lengths(&wide).await, [1, 1, LARGE_BYTES, 2]);
    assert_eq!(lengths(narrow).await, [1]);
    let errors = "select reason || ': ' || error from outbox.parked where blocks_key \
                  order by commit_lsn, index";
    let errors: Vec<String> = client
        .query(errors, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let [own, topics] = errors.as_slice() else {
        panic!("{errors:#?}")
    };
    assert!(own.starts_with("too-large: the record has 660"), "{own}");
    assert!(
        own.ends_with("limits.message_bytes_max allows 1048576"),
        "{own}"
    );
    assert!(
        topics.starts_with("too-large: MessageSizeTooLarge"),
        "{topics}"
    );
    assert!(topics.contains("the record has 660"), "{topics}");
    assert!(topics.contains("max.message.bytes"), "{topics}");

    // What was above a limit that is raised now comes back whole, with what waited behind it.
    let replayed = ["stuck", "replay", "--destination", &wide, "--yes", "--wait"];
    let replayed = scenario.command(&replayed, &[]).await;
    assert_eq!(replayed.code, Some(0), "{}", replayed.stderr);
    assert_eq!(lengths(&wide).await, [1, 1, LARGE_BYTES, 2, LARGE_BYTES, 2]);
    let peak = allocated_kibibytes_max(relay.pid().unwrap());
    println!("{peak} KiB");
    assert!(peak > 0 && peak <= MEMORY_KIBIBYTES_MAX, "{peak} KiB");
}
