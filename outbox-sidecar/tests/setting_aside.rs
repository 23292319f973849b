//! What a broker refuses is set aside, seen, and comes back once its cause is mended.

mod infinite_times;

use testbed::{PostgresServer, Program, wait};
use tokio_postgres::Client;

use crate::broker::Kind;
use crate::scenario::{DEADLINE, Scenario};
use crate::trials::stuck_mix::{StuckMix, stuck_mix};
use crate::twin::Twin;

/// Small enough for every change.
const SOME: StuckMix = StuckMix {
    kind: Kind::KafkaExactlyOnce,
    policy: "park-key",
    messages: 10_000,
    poison: 50,
    kills: 3,
};

#[tokio::test]
async fn refused_messages_come_back_from_kafka_in_the_order_of_their_keys() {
    stuck_mix(SOME).await;
}

#[tokio::test]
async fn refused_messages_come_back_alone_where_their_keys_do_not_wait() {
    stuck_mix(StuckMix {
        policy: "park",
        messages: 5000,
        ..SOME
    })
    .await;
}

#[tokio::test]
async fn a_relay_that_halts_publishes_what_stands_before_and_goes_on_there() {
    for kind in [Kind::KafkaExactlyOnce, Kind::Stream] {
        stuck_mix(StuckMix {
            kind,
            policy: "halt",
            messages: 1000,
            poison: 5,
            kills: 2,
        })
        .await;
    }
}

#[tokio::test]
async fn refused_messages_come_back_from_a_queue_in_the_order_of_their_keys() {
    stuck_mix(StuckMix {
        kind: Kind::ClassicQueue,
        messages: 5000,
        ..SOME
    })
    .await;
}

#[tokio::test]
async fn refused_messages_come_back_from_a_stream_in_the_order_of_their_keys() {
    stuck_mix(StuckMix {
        kind: Kind::Stream,
        messages: 5000,
        ..SOME
    })
    .await;
}

/// What the relay refuses of what [`write`] writes.
const LIMITED: &str = "limits.message_bytes_max=1000B";

/// Messages of one key in a transaction each, of so many bytes, which begin with their number.
async fn write(scenario: &Scenario, client: &Client, key: &str, messages: &[(usize, usize)]) {
    let sql = "insert into outbox.message (destination, key, type, payload)
               values ($1, $2, 'T', convert_to(rpad($3, $4, ' '), 'UTF8'))";
    for (number, bytes) in messages {
        let bytes = i32::try_from(*bytes).unwrap();
        let destination = scenario.target.destination();
        client
            .execute(sql, &[&destination, &key, &number.to_string(), &bytes])
            .await
            .unwrap();
    }
}

/// Waits until so many messages are in this state.
async fn in_state(client: &Client, state: &str, count: i64) {
    let sql = "select count(*) = $2 from outbox.parked where state = $1";
    wait::until(&format!("{count} messages {state}"), DEADLINE, || async {
        client
            .query_one(sql, &[&state, &count])
            .await
            .unwrap()
            .get(0)
    })
    .await
    .unwrap();
}

async fn stuck(scenario: &Scenario, arguments: &[&str], code: i32) -> String {
    let arguments: Vec<&str> = ["stuck"].iter().chain(arguments).copied().collect();
    let ran = scenario.command(&arguments, &[]).await;
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

async fn killed(relay: Program, failpoint: &str) {
    let exit = relay.exited(DEADLINE).await.unwrap();
    assert_eq!(exit.code(), None, "{failpoint} should have killed it");
}

/// The numbers that a consumer sees, in the order of each key.
async fn seen(scenario: &Scenario) -> Vec<usize> {
    let records = scenario.records().await;
    let number = |payload: &[u8]| String::from_utf8_lossy(payload).trim().parse().unwrap();
    records
        .iter()
        .map(|record| number(record.payload.as_deref().unwrap()))
        .collect()
}

#[tokio::test]
async fn killed_at_every_step_of_a_replay_its_messages_are_seen_once() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let mut expected = Vec::new();
    // Where a message is refused again, the limit stays as it is.
    for (round, (failpoint, mended)) in [
        ("parking", true),
        ("parked", true),
        ("replay-before-take-commits", true),
        ("replay-taken", true),
        ("replay-before-put-back-commits", false),
        ("replay-put-back", false),
        ("replay-published", true),
        ("replay-before-finish-commits", true),
        ("replay-finished", true),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("k{round}");
        let first = round * 10;
        let messages = [
            (first, 10),
            (first + 1, 2000),
            (first + 2, 10),
            (first + 3, 10),
        ];
        if failpoint.starts_with("park") {
            let relay = scenario.start_failing(failpoint, &[LIMITED]);
            write(&scenario, &client, &key, &messages).await;
            killed(relay, failpoint).await;
        } else {
            write(&scenario, &client, &key, &messages).await;
        }
        let relay = scenario.start_with(&[LIMITED]);
        in_state(&client, "waiting", 3).await;
        relay.kill().await.unwrap();
        stuck(&scenario, &["replay", "--key", &key, "--yes"], 0).await;
        if failpoint.starts_with("replay") {
            let limit = if mended {
                "limits.message_bytes_max=1MiB"
            } else {
                LIMITED
            };
            killed(scenario.start_failing(failpoint, &[limit]), failpoint).await;
        }
        let relay = scenario.start_active().await;
        scenario.drained(&client).await;
        // One that was refused again waits for another request.
        if !mended {
            in_state(&client, "replaying", 0).await;
            stuck(&scenario, &["replay", "--all", "--yes", "--wait"], 0).await;
        }
        in_state(&client, "replayed", 3 * (round as i64 + 1)).await;
        write(&scenario, &client, &key, &[(first + 4, 10)]).await;
        scenario.drained(&client).await;
        relay.kill().await.unwrap();
        expected.extend(first..=first + 4);
        let of_key = |number: &usize| number / 10 == round;
        let of_key: Vec<usize> = seen(&scenario).await.into_iter().filter(of_key).collect();
        assert_eq!(
            of_key,
            (first..=first + 4).collect::<Vec<_>>(),
            "{failpoint}"
        );
    }
    let mut all = seen(&scenario).await;
    all.sort_unstable();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_relay_frozen_while_it_sets_aside_writes_nothing_when_it_wakes() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let frozen = scenario.start_failing("parking:freeze", &[LIMITED]);
    scenario.phase("active").await;
    // With the usual limit: what the first refuses the second publishes.
    let standby = Twin::standing_by(&scenario).await;
    write(&scenario, &client, "k", &[(1, 10), (2, 2000), (3, 10)]).await;
    standby.phase("active").await;
    scenario.drained(&client).await;
    assert_eq!(seen(&scenario).await, [1, 2, 3]);
    frozen.thaw().unwrap();
    scenario.phase("standby").await;
    write(&scenario, &client, "k", &[(4, 10)]).await;
    scenario.drained(&client).await;
    assert_eq!(seen(&scenario).await, [1, 2, 3, 4]);
    let rows = "select count(*) from outbox.parked";
    let rows: i64 = client.query_one(rows, &[]).await.unwrap().get(0);
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_topic_that_is_deleted_under_load_holds_nothing_else_up() {
    const LIMIT: usize = 50;
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let kafka = &scenario.topic().address;
    let gone = kafka.create_unique_topic("gone", 2).await.unwrap();
    let limit = format!("stuck.gone_messages_max={LIMIT}");
    let relay = scenario.start_with(&["stuck.gone_after=5", &limit]);
    scenario.phase("active").await;
    let to = "insert into outbox.message (destination, type, payload)
              select d, 'T', convert_to(n::text, 'UTF8')
              from generate_series($2::int8, $3::int8) as n, unnest(array[$1, $4]) as d";
    let main = scenario.target.destination();
    let write = async |from: i64, to_: i64| {
        client
            .execute(to, &[&gone, &from, &to_, &main])
            .await
            .unwrap();
    };
    write(1, 20).await;
    scenario.drained(&client).await;
    kafka.delete_topic(&gone).await.unwrap();
    // Transaction by transaction, as a service under load would.
    for number in 21..40 {
        write(number, number).await;
    }
    scenario.drained(&client).await;
    assert_eq!(scenario.records().await.len(), 39, "others go on");
    for number in 40..200 {
        write(number, number).await;
    }
    // Beyond the limit everything waits for the topic; nothing more is set aside.
    let waits = |status: &serde_json::Value| {
        let error = status["sink"]["error"].as_str().unwrap_or_default();
        error.contains("waiting for a destination that is gone")
    };
    scenario.status_where("waiting for the topic", waits).await;
    let rows = "select count(*) from outbox.parked";
    let rows: i64 = client.query_one(rows, &[]).await.unwrap().get(0);
    assert!(rows <= LIMIT as i64 + 10, "{rows} messages were set aside");
    // It is back: the relay goes on by itself, and one command brings the others.
    kafka.create_topic(&gone, 2).await.unwrap();
    scenario.drained(&client).await;
    stuck(&scenario, &["replay", "--all", "--yes", "--wait"], 0).await;
    let records = testbed::history::read(kafka, &[&gone], DEADLINE)
        .await
        .unwrap();
    let mut numbers: Vec<usize> = records
        .iter()
        .map(|record| {
            String::from_utf8_lossy(record.payload.as_deref().unwrap())
                .parse()
                .unwrap()
        })
        .collect();
    numbers.sort_unstable();
    let first = *numbers.first().unwrap();
    assert!(first > 1, "what was in the deleted topic is gone with it");
    assert_eq!(numbers, (first..200).collect::<Vec<_>>());
    assert_eq!(scenario.records().await.len(), 199);
    assert_eq!(scenario.metric("outbox_destinations_gone").await, Some(0.0));
    relay.kill().await.unwrap();
}

/// A commit that waits for a standby is decoded before anyone sees what it wrote.
#[tokio::test]
async fn a_request_that_is_decoded_before_it_can_be_seen_is_carried_out_once_it_can() {
    let postgres = PostgresServer::start().await.unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let relay = scenario.start_with(&[LIMITED]);
    write(&scenario, &client, "k", &[(1, 2000), (2, 10)]).await;
    in_state(&client, "waiting", 2).await;
    relay.kill().await.unwrap();
    // Whoever does not ask for more commits without the standby, which never comes.
    let local = "do $$ begin
                     execute format('alter database %I set synchronous_commit = local',
                                    current_database());
                 end $$";
    client.batch_execute(local).await.unwrap();
    let standby = async |names: &str| {
        let client = scenario.client().await;
        let set = format!("alter system set synchronous_standby_names = '{names}'");
        client.batch_execute(&set).await.unwrap();
        client
            .batch_execute("select pg_reload_conf()")
            .await
            .unwrap();
    };
    standby("nobody").await;
    // A connection of before would wait, too.
    let client = scenario.client().await;
    let relay = scenario.start_with(&["log.level=debug"]);
    scenario.phase("active").await;
    let asking = scenario.client().await;
    let ask = "set synchronous_commit = on;
               with request as (
                   insert into outbox.request (relay, kind, chosen)
                   select name, 'replay', 1 from outbox.relay returning id
               )
               update outbox.parked set state = 'replaying', request = request.id, request_index = 0,
                      replays = 1
               from request where blocks_key";
    let asked = tokio::spawn(async move { asking.batch_execute(ask).await });
    let waits = |line: &serde_json::Value| {
        line["message"] == "a request waits until its transaction can be seen"
    };
    relay
        .logged("that the request waits", DEADLINE, waits)
        .await
        .unwrap();
    write(&scenario, &client, "k", &[(3, 10)]).await;
    assert!(seen(&scenario).await.is_empty() && !asked.is_finished());
    standby("").await;
    asked.await.unwrap().unwrap();
    scenario.drained(&client).await;
    assert_eq!(seen(&scenario).await, [1, 2, 3]);
    in_state(&client, "replayed", 2).await;
}

#[tokio::test]
async fn what_was_asked_of_a_relay_that_is_removed_waits_again() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_with(&[LIMITED]);
    write(&scenario, &client, "k", &[(1, 10), (2, 2000), (3, 10)]).await;
    in_state(&client, "waiting", 2).await;
    scenario.drained(&client).await;
    relay.terminate().unwrap();
    relay.exited(DEADLINE).await.unwrap();
    stuck(&scenario, &["replay", "--key", "k", "--yes"], 0).await;
    in_state(&client, "replaying", 2).await;
    let removed = scenario.command(&["remove", "--yes"], &[]).await;
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    assert!(
        removed.stderr.contains("what it asked for waits again"),
        "{}",
        removed.stderr
    );
    in_state(&client, "waiting", 2).await;
    scenario.init(&["--backlog", "skip"]).await;
    let _relay = scenario.start_active().await;
    stuck(&scenario, &["replay", "--key", "k", "--yes", "--wait"], 0).await;
    assert_eq!(seen(&scenario).await, [1, 2, 3]);
}
