//! What `verify` says of messages that were set aside, replayed, given up or sent again.

use rdkafka::producer::{BaseProducer, Producer};
use serde_json::json;
use testbed::history::Record;
use testbed::wait;
use tokio_postgres::Client;
use uuid::Uuid;

use super::faults::{empty, of_key, write};
use super::{counts, enqueue, finds_nothing, found, verify};
use crate::scenario::{DEADLINE, Scenario};
use crate::target::{Target, Topic};

/// A row of `outbox.parked`, about a message that the broker has shown.
struct Parked<'a> {
    record: &'a Record,
    state: &'a str,
    reason: &'a str,
    blocks_key: bool,
    request: Option<Uuid>,
    ago: &'a str,
}

impl<'a> Parked<'a> {
    /// Refused, with its key waiting behind it.
    fn first(record: &'a Record, state: &'a str, request: Option<Uuid>) -> Self {
        Self {
            record,
            state,
            reason: "too-large",
            blocks_key: true,
            request,
            ago: "0",
        }
    }

    /// Behind such a one.
    fn follower(record: &'a Record, state: &'a str, request: Option<Uuid>) -> Self {
        Self {
            reason: "key-blocked",
            blocks_key: false,
            ..Self::first(record, state, request)
        }
    }

    /// Refused alone: its key went on.
    fn alone(record: &'a Record, state: &'a str, request: Option<Uuid>) -> Self {
        Self {
            blocks_key: false,
            ..Self::first(record, state, request)
        }
    }
}

/// Notes that a message was set aside, and what is settled, a minute later.
async fn park(client: &Client, relay: &str, parked: &Parked<'_>) {
    let position = parked.record.header("outbox-position").unwrap();
    let parts: Vec<&str> = position.split(':').collect();
    let timeline: i32 = parts[0].parse().unwrap();
    let index: i64 = parts[2].parse().unwrap();
    let sql = "insert into outbox.parked
                   (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id,
                    destination, key, type, content_type, payload, headers, created_at, reason,
                    error, attempts, blocks_key, state, request, request_index, replays,
                    parked_at, settled_at)
               select $1, (select system_identifier::text from pg_control_system()), $2,
                      $3::text::pg_lsn, $4, 1, now(), id, destination, key, type, content_type,
                      payload, headers, created_at, $5, 'planted', 1, $6, $7, $8,
                      case when $8::uuid is not null
                           then (select count(*) from outbox.parked where request = $8) end,
                      ($8 is not null)::int, now() - $10::text::interval,
                      case when $7 in ('replayed', 'skipped')
                           then now() - $10::text::interval + interval '1 min' end
               from outbox.message where id = $9";
    let inserted = client
        .execute(
            sql,
            &[
                &relay,
                &timeline,
                &parts[1],
                &index,
                &parked.reason,
                &parked.blocks_key,
                &parked.state,
                &parked.request,
                &parked.record.id.unwrap(),
                &parked.ago,
            ],
        )
        .await
        .unwrap();
    assert_eq!(inserted, 1);
}

/// Notes that somebody asked for something. With `silent` no relay hears of it.
async fn request(
    client: &Client,
    relay: &str,
    kind: &str,
    destination: Option<&str>,
    edited: Option<&str>,
) -> Uuid {
    let id = Uuid::now_v7();
    let sql = "insert into outbox.request
                   (id, relay, kind, chosen, destination, edited, type, content_type, payload,
                    headers)
               select $1, $2, $3, 1, $4, $5::text is not null, e.type, e.content_type, e.payload,
                      e.headers
               from (values (0)) as one left join (
                   select 'Mended' as type, 'text/plain' as content_type,
                          convert_to($5, 'UTF8') as payload, '{}'::jsonb as headers
               ) as e on $5 is not null";
    client
        .execute(sql, &[&id, &relay, &kind, &destination, &edited])
        .await
        .unwrap();
    id
}

/// The record as the replay of its message.
fn replay(record: &Record) -> Record {
    let mut replay = record.clone();
    replay
        .headers
        .push(("outbox-replay".to_owned(), b"1".to_vec()));
    replay
}

/// As a request with an edit says it.
fn mended(record: &Record, payload: &str) -> Record {
    let mut mended = replay(record);
    mended.payload = Some(payload.as_bytes().to_vec());
    mended
        .headers
        .retain(|(name, _)| name.starts_with("outbox-") || name == "content-type");
    for (name, value) in &mut mended.headers {
        match name.as_str() {
            "outbox-type" => *value = b"Mended".to_vec(),
            "content-type" => *value = b"text/plain".to_vec(),
            _ => {}
        }
    }
    mended
}

async fn rewrite(topic: &Topic, records: &[Record]) {
    empty(topic, 6).await;
    let producer: BaseProducer = topic.address.client_config().create().unwrap();
    for record in records {
        write(topic, &producer, record);
    }
    producer.flush(DEADLINE).unwrap();
}

/// Keys `k0` to `k6`, and what became of messages of each:
///
/// - k0: one waits, and all that come after it.
/// - k1: one was given up.
/// - k2: six waited for each other, and were replayed in their order.
/// - k3: one was replayed in its place, and long after that another behind later ones, which had not
///   waited for it.
/// - k4: the same, with an edit.
/// - k5: the same, to another topic.
/// - k6: one was sent once more.
struct Story {
    /// In the topic, in the order in which they stand there.
    records: Vec<Record>,
    elsewhere: Record,
    waiting: u64,
}

async fn tell(scenario: &Scenario, other: &Topic) -> Story {
    let client = scenario.client().await;
    // The relay is not to act on what is planted.
    client
        .batch_execute("set session_replication_role = replica")
        .await
        .unwrap();
    let relay = &scenario.relay;
    let records = scenario.records().await;
    let place = |key: &str, at: usize| of_key(&records, key)[at];
    let aside = async |parked: Parked<'_>| park(&client, relay, &parked).await;
    let mut gone = Vec::new();
    let mut behind = Vec::new();
    let mut changed = records.clone();

    let waiting = &of_key(&records, "k0")[20..];
    for (number, at) in waiting.iter().enumerate() {
        let record = &records[*at];
        aside(if number == 0 {
            Parked::first(record, "waiting", None)
        } else {
            Parked::follower(record, "waiting", None)
        })
        .await;
        gone.push(*at);
    }

    let skipped = place("k1", 20);
    let asked = Some(request(&client, relay, "skip", None, None).await);
    aside(Parked::first(&records[skipped], "skipped", asked)).await;
    gone.push(skipped);

    let asked = Some(request(&client, relay, "replay", None, None).await);
    for number in 30..36 {
        let at = place("k2", number);
        let record = &records[at];
        // The third was refused itself while the first was waiting.
        aside(match number {
            30 => Parked::first(record, "replayed", asked),
            32 => Parked::alone(record, "replayed", asked),
            _ => Parked::follower(record, "replayed", asked),
        })
        .await;
        changed[at] = replay(record);
    }

    let settled = place("k3", 5);
    let asked = Some(request(&client, relay, "replay", None, None).await);
    aside(Parked {
        ago: "1 h",
        ..Parked::first(&records[settled], "replayed", asked)
    })
    .await;
    changed[settled] = replay(&records[settled]);

    for (key, whereto, edit) in [
        ("k3", None, None),
        ("k4", None, Some("mended")),
        ("k5", Some(other.name.as_str()), None),
    ] {
        let at = place(key, 10);
        let record = &records[at];
        let asked = request(&client, relay, "replay", whereto, edit).await;
        aside(Parked::alone(record, "replayed", Some(asked))).await;
        gone.push(at);
        behind.push(edit.map_or_else(|| replay(record), |text| mended(record, text)));
    }
    let elsewhere = behind.pop().unwrap();
    behind.push(replay(&records[place("k6", 10)]));

    let mut kept = Vec::new();
    for (at, record) in changed.into_iter().enumerate() {
        if !gone.contains(&at) {
            kept.push(record);
        }
    }
    kept.extend(behind);
    Story {
        records: kept,
        elsewhere,
        waiting: waiting.len() as u64,
    }
}

#[tokio::test]
async fn what_was_set_aside_is_judged_by_its_record() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    enqueue(&scenario, &client, 500).await;
    finds_nothing(&scenario, 503).await;

    let topic = scenario.topic();
    let Target::Kafka(other) = Target::kafka(&topic.address).await else {
        panic!("a topic")
    };
    let story = tell(&scenario, &other).await;
    rewrite(topic, &story.records).await;
    rewrite(&other, std::slice::from_ref(&story.elsewhere)).await;
    let report = verify(&scenario, &[], 0).await;
    assert_eq!(report["counts"], counts(0, 0, 0, 0), "{report:#}");
    let told = ["set_aside", "given_up", "sent_again", "replays"].map(|name| &report[name]);
    assert_eq!(
        told,
        [&json!(story.waiting), &json!(1), &json!(1), &json!(11)]
    );
    let ran = scenario.command(&["verify"], &[]).await;
    let line = format!("\nset aside     {}\ngiven up      1\n", story.waiting);
    assert!(ran.stdout.contains(&line), "{}", ran.stdout);
    let line = "note: 1 messages were sent again on request";
    assert!(ran.stdout.contains(line), "{}", ran.stdout);

    // The same with faults, by the ids that must be found.
    let mut records = story.records;
    let id = |record: &Record| record.id.unwrap().to_string();
    let k2 = of_key(&records, "k2");
    let mut behind_later = Vec::new();
    for at in [30, 32, 35] {
        behind_later.push(id(&records[k2[at]]));
        records.swap(k2[at], k2[at + 1]);
    }
    let last = |records: &[Record], key| *of_key(records, key).last().unwrap();
    let altered = last(&records, "k4");
    records[altered].payload = Some(b"other".to_vec());
    let altered = id(&records[altered]);
    let lost = last(&records, "k3");
    let mut missing = vec![id(&records[lost]), id(&story.elsewhere)];
    // What is replayed to another destination does not stand in its own.
    records[lost] = story.elsewhere;
    let doubled = records[of_key(&records, "k6")[3]].clone();
    let twice = id(&doubled);
    records.push(doubled);
    rewrite(topic, &records).await;
    empty(&other, 6).await;
    let report = verify(&scenario, &[], 3).await;
    missing.sort();
    behind_later.sort();
    let expected = [
        ("altered", vec![altered]),
        ("duplicated", vec![twice]),
        ("missing", missing),
        ("out_of_order", behind_later),
    ];
    let expected = expected.map(|(kind, ids)| (kind.to_owned(), ids));
    assert_eq!(found(&report), expected.into(), "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    let of_missing = findings.iter().filter(|found| found["kind"] == "missing");
    for missing in of_missing {
        assert!(missing["position"].is_string(), "{missing:#}");
        let detail = missing["detail"].as_str().unwrap();
        assert!(detail.contains("set aside, then replayed to"), "{detail}");
    }
}

/// A relay that is asked to replay messages which it has published before: `verify` sees what it
/// really writes.
async fn replays_of(scenario: &Scenario, records: &[Record], other: &str) {
    let client = scenario.client().await;
    for (record, whereto, edit) in [
        (&records[3], None, None),
        (&records[4], Some(other), None),
        (&records[5], None, Some("mended")),
    ] {
        client.batch_execute("begin").await.unwrap();
        let asked = request(&client, &scenario.relay, "replay", whereto, edit).await;
        let parked = Parked::alone(record, "replaying", Some(asked));
        park(&client, &scenario.relay, &parked).await;
        client.batch_execute("commit").await.unwrap();
        wait::until("the request done", DEADLINE, || async {
            let sql = "select state = 'done' from outbox.request where id = $1";
            client.query_one(sql, &[&asked]).await.unwrap().get(0)
        })
        .await
        .unwrap();
    }
    let report = verify(scenario, &[], 0).await;
    assert_eq!(report["counts"], counts(0, 0, 0, 0), "{report:#}");
    assert_eq!(
        (&report["replays"], &report["sent_again"]),
        (&json!(3), &json!(3)),
        "{report:#}"
    );
    assert_eq!(report["destinations"], json!(2), "{report:#}");
    assert_eq!(report["aside_and_published"], json!(0), "{report:#}");
}

#[tokio::test]
async fn what_a_relay_replays_into_a_topic_is_known_as_that() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    enqueue(&scenario, &client, 50).await;
    finds_nothing(&scenario, 53).await;
    let other = scenario.topic().address.create_unique_topic("other", 6);
    let other = other.await.unwrap();
    replays_of(&scenario, &scenario.records().await, &other).await;
}

#[tokio::test]
async fn what_a_relay_replays_into_a_stream_is_known_as_that() {
    let postgres = testbed::shared_postgres().await.unwrap();
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = Scenario::to(postgres, Target::stream(rabbit).await).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    enqueue(&scenario, &client, 50).await;
    finds_nothing(&scenario, 53).await;
    let other = rabbit.create_queue("stream").await.unwrap();
    replays_of(&scenario, &scenario.records().await, &other).await;
}
