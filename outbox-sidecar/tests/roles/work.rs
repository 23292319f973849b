//! What the roles are for.

use testbed::wait;
use tokio_postgres::Client;

use super::Roles;
use crate::scenario::observation::assert_calm;
use crate::scenario::{DEADLINE, Ran};
use crate::target::Target;
use crate::twin::Twin;

/// What the relay refuses of messages of 2,000 bytes.
const LIMITED: &str = "limits.message_bytes_max=1000B";

async fn run(roles: &Roles, arguments: &[&str]) -> Ran {
    let ran = roles.scenario.command(arguments, &[]).await;
    assert_eq!(
        ran.code,
        Some(0),
        "{arguments:?}: {}{}",
        ran.stdout,
        ran.stderr
    );
    ran
}

/// Enqueues three messages of which the first two are set aside under [`LIMITED`].
async fn enqueue_refused(roles: &Roles, app: &Client, from: usize) {
    let sql = "insert into outbox.message (destination, key, type, payload)
               values ($1, $2, 'T', convert_to(rpad($3, $4, ' '), 'UTF8'))";
    for (number, key, bytes) in [(from, "a", 2000), (from + 1, "a", 2), (from + 2, "b", 2)] {
        let destination = roles.scenario.target.destination();
        let number = number.to_string();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&destination, &key, &number, &bytes];
        app.execute(sql, &values).await.unwrap();
    }
}

async fn waiting(admin: &Client, count: i64) {
    let sql = "select count(*) = $1 from outbox.parked where state = 'waiting'";
    wait::until(
        &format!("{count} messages set aside"),
        DEADLINE,
        async || admin.query_one(sql, &[&count]).await.unwrap().get(0),
    )
    .await
    .unwrap();
}

async fn numbers(roles: &Roles) -> Vec<usize> {
    let records = roles.scenario.records().await;
    let number = |payload: &[u8]| String::from_utf8_lossy(payload).trim().parse().unwrap();
    let mut numbers: Vec<usize> = records
        .iter()
        .map(|record| number(record.payload.as_deref().unwrap()))
        .collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn the_relays_role_publishes_checks_replays_redelivers_and_audits() {
    let kafka = testbed::shared_kafka().await.unwrap();
    let roles = Roles::to(Target::kafka(kafka).await).await;
    let scenario = &roles.scenario;
    let (admin, app) = (roles.admin().await, roles.as_app().await);
    let began =
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')";
    let began: String = admin.query_one(began, &[]).await.unwrap().get(0);
    let checked = run(&roles, &["check"]).await.stdout;
    assert!(checked.contains("ok       privileges:"), "{checked}");
    assert!(checked.contains("ok       role:"), "{checked}");

    // Partitions that are missing are made by the relay.
    let furthest = "select inhrelid::regclass::text from pg_inherits
                    where inhparent = 'outbox.message'::regclass order by 1 desc offset 1 limit 1";
    let furthest: String = admin.query_one(furthest, &[]).await.unwrap().get(0);
    let drop = format!("drop table {furthest}");
    admin.batch_execute(&drop).await.unwrap();

    let relay = scenario.start_with(&[LIMITED]);
    scenario.phase("active").await;
    scenario.enqueue(&app, 0..20).await;
    enqueue_refused(&roles, &app, 20).await;
    enqueue_refused(&roles, &app, 30).await;
    scenario.drained(&admin).await;
    waiting(&admin, 4).await;
    let exists = "select to_regclass($1) is not null";
    wait::until("the partition made again", DEADLINE, async || {
        admin.query_one(exists, &[&furthest]).await.unwrap().get(0)
    })
    .await
    .unwrap();

    // A standby takes over once the server has dropped the frozen holder's walsender.
    let standby = Twin::standing_by(scenario).await;
    relay.freeze().unwrap();
    standby.phase("active").await;
    relay.kill().await.unwrap();
    standby.program.kill().await.unwrap();

    // After ends without a word each batch is noted before it is tried.
    let relay = scenario.start_active().await;
    for _ in 0..2 {
        relay.kill().await.unwrap();
        relay.restart().unwrap();
        scenario.phase("active").await;
    }
    scenario.enqueue(&app, 40..50).await;
    scenario.drained(&admin).await;
    let noted = "select tried_id is not null and unclean_ends >= 2 from outbox.relay";
    assert!(admin.query_one(noted, &[]).await.unwrap().get::<_, bool>(0));

    let listed = run(&roles, &["stuck", "list", "--json"]).await.stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let ids: Vec<_> = listed["messages"].as_array().unwrap().iter().collect();
    let id = |place: usize| ids[place]["id"].as_str().unwrap();
    run(&roles, &["stuck", "show", id(0)]).await;
    run(
        &roles,
        &["stuck", "skip", "--id", id(0), "--wait", "--note", "n"],
    )
    .await;
    run(&roles, &["stuck", "replay", "--all", "--yes", "--wait"]).await;
    waiting(&admin, 0).await;
    let mut expected: Vec<usize> = (0..20).chain(21..23).chain(30..33).chain(40..50).collect();
    assert_eq!(numbers(&roles).await, expected);

    let again = [
        "redeliver",
        "--from",
        &began,
        "--to",
        "2999-01-01T00:00:00Z",
    ];
    let again = [&again[..], &["--yes", "--wait"]].concat();
    run(&roles, &again).await;
    expected.extend(expected.clone());
    expected.sort_unstable();
    assert_eq!(numbers(&roles).await, expected);
    run(&roles, &["verify"]).await;
    run(&roles, &["status"]).await;
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    assert_calm(&relay);
}

#[tokio::test]
async fn the_relays_role_keeps_its_checkpoint_in_the_database() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let roles = Roles::to(Target::queue(rabbit, "classic").await).await;
    let scenario = &roles.scenario;
    let (admin, app) = (roles.admin().await, roles.as_app().await);
    run(&roles, &["check"]).await;
    let relay = scenario.start_with(&[LIMITED]);
    scenario.phase("active").await;
    enqueue_refused(&roles, &app, 0).await;
    scenario.drained(&admin).await;
    waiting(&admin, 2).await;
    relay.kill().await.unwrap();
    let relay = scenario.start_active().await;
    run(&roles, &["stuck", "replay", "--all", "--yes", "--wait"]).await;
    run(&roles, &["status"]).await;
    assert_eq!(numbers(&roles).await, [0, 1, 2]);
    assert_calm(&relay);
}

/// Whoever may connect may write logical messages, too.
#[tokio::test]
async fn a_request_that_an_application_forges_is_passed_over() {
    let kafka = testbed::shared_kafka().await.unwrap();
    let roles = Roles::to(Target::kafka(kafka).await).await;
    let scenario = &roles.scenario;
    let (admin, app) = (roles.admin().await, roles.as_app().await);
    let relay = scenario.start_active().await;
    let forged = "select pg_logical_emit_message(true, 'outbox.request.' || $1, $2)";
    for content in [
        r#"{"format": 1, "id": "0199a4f2-6c1e-7b3a-9d58-3f0c2a7e1b44"}"#,
        "something else",
        "",
    ] {
        app.execute(forged, &[&scenario.relay, &content])
            .await
            .unwrap();
        scenario.enqueue(&app, 0..1).await;
    }
    scenario.drained(&admin).await;
    assert_eq!(numbers(&roles).await, [0, 0, 0]);
    assert_eq!(relay.exit().unwrap(), None);
}
