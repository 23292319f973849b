//! `verify` of a table with millions of rows, of which a tenth is set aside.

use std::time::Instant;

use serde_json::json;
use tokio_postgres::Client;

use super::audit::{enqueue, published, verify};
use crate::scenario::Scenario;

/// One of so many rows is set aside.
const ASIDE_EACH: usize = 10;

/// Enqueues so many rows, has them published, sets a tenth of them aside, and finds nothing wrong.
pub(crate) async fn large_audit(rows: usize) {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    let began = Instant::now();
    enqueue(&scenario, &client, rows).await;
    println!("{rows} rows were enqueued after {:?}", began.elapsed());
    published(&scenario, &client).await;
    println!("and published after {:?}", began.elapsed());
    let aside = set_aside(&scenario, &client, rows).await;
    published(&scenario, &client).await;
    println!("{aside} of them set aside after {:?}", began.elapsed());

    let report = verify(&scenario, 0).await;
    println!("{report:#}");
    let total = rows as u64 + 2;
    for (name, expected) in [
        ("ok", json!(true)),
        ("rows", json!(total)),
        ("messages", json!(total)),
        ("set_aside", json!(aside)),
        // What had the ids of those.
        ("without_row", json!(aside)),
        ("enqueued_again", json!(0)),
    ] {
        assert_eq!(report[name], expected, "{name}: {report:#}");
    }
}

/// Gives a tenth of the rows ids of their own, which no message has, since updates are not published,
/// and notes that they were set aside: of each ten one waits for itself, the others behind it.
async fn set_aside(scenario: &Scenario, client: &Client, rows: usize) -> u64 {
    // One of so many numbers, whatever the rows' order: the payload is the number.
    let sql = format!(
        "with changed as (
             update outbox.message set id = gen_random_uuid()
             where right(convert_from(payload, 'UTF8'), 1) = '7'
             returning id, destination, key, type, content_type, payload, headers, created_at
         ), numbered as (
             select *, row_number() over () as number from changed
         )
         insert into outbox.parked
             (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id, destination, key,
              type, content_type, payload, headers, created_at, reason, error, attempts, blocks_key)
         select $1, (select system_identifier::text from pg_control_system()), 1,
                '0/0'::pg_lsn + number * 8, 0, 1, now(), id, destination, key, type, content_type,
                payload, headers, created_at,
                case when number % {ASIDE_EACH} = 0 then 'too-large' else 'key-blocked' end,
                '', 1, number % {ASIDE_EACH} = 0
         from numbered"
    );
    let aside = client.execute(&sql, &[&scenario.relay]).await.unwrap();
    assert!(aside as usize >= rows / ASIDE_EACH, "{aside} of {rows}");
    aside
}
