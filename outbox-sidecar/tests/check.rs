//! `check` finds what is wrong before it goes wrong: each fault is planted, found, and mended.

mod at_work;
mod idle_slot;
mod kafka;
mod kafka_cluster;
mod kept_log;
mod postgres;
mod rabbitmq;
mod rabbitmq_stream;
mod rights;
mod server;

use serde_json::Value;
use testbed::wait;
use tokio_postgres::Client;

use crate::scenario::{DEADLINE, Scenario};

/// A fault, and the line that must say so.
struct Planted {
    /// Statements, each sent on its own.
    plant: &'static [&'static str],
    /// Of the line: `warning` or `error`, and what was looked at.
    line: (&'static str, &'static str),
    says: &'static str,
    mend: &'static [&'static str],
}

/// `check --json` of a scenario with some keys set otherwise: its findings, and the exit code.
async fn findings(scenario: &Scenario, settings: &[&str]) -> (Vec<Value>, Option<i32>) {
    let mut arguments: Vec<&str> = settings.iter().flat_map(|set| ["--set", set]).collect();
    arguments.extend(["check", "--json"]);
    let ran = scenario.command(&arguments, &[]).await;
    let report: Value = serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr));
    (report["findings"].as_array().unwrap().clone(), ran.code)
}

fn is(finding: &Value, (level, subject): (&str, &str), says: &str) -> bool {
    let message = finding["message"].as_str().unwrap_or_default();
    finding["level"] == level && finding["subject"] == subject && message.contains(says)
}

/// The fault is found: the line is there with its fix, and the exit code fits it.
async fn finds(scenario: &Scenario, settings: &[&str], line: (&str, &str), says: &str) {
    let (found, code) = findings(scenario, settings).await;
    let finding = found.iter().find(|finding| is(finding, line, says));
    let finding = finding.unwrap_or_else(|| panic!("no {line:?} with {says:?} in {found:#?}"));
    let fix = finding["fix"].as_str().unwrap_or_default();
    assert!(line.0 == "ok" || !fix.is_empty(), "{finding:#}");
    let has_errors = found.iter().any(|finding| finding["level"] == "error");
    assert_eq!(code, Some(if has_errors { 3 } else { 0 }), "{found:#?}");
}

/// There is nothing to say.
async fn is_calm(scenario: &Scenario) {
    let (found, code) = findings(scenario, &[]).await;
    let alarms: Vec<_> = found
        .iter()
        .filter(|finding| finding["level"] != "ok")
        .collect();
    assert!(alarms.is_empty() && code == Some(0), "{alarms:#?}");
}

/// Plants each fault, and mends it once it is found. Statements name the relay's slot and publication
/// by `SLOT`, its topic or queue by `DESTINATION`, its role by `ROLE`.
async fn plant_and_find(scenario: &Scenario, client: &Client, role: &str, faults: &[Planted]) {
    let run = async |statements: &[&str]| {
        for statement in statements {
            let sql = statement
                .replace("SLOT", &scenario.slot())
                .replace("DESTINATION", scenario.target.destination())
                .replace("ROLE", role);
            client
                .batch_execute(&sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    };
    for fault in faults {
        run(fault.plant).await;
        // A setting that was reloaded counts for the next connection but one.
        let what = format!("{:?} with {:?}", fault.line, fault.says);
        wait::until(&what, DEADLINE, async || {
            let (found, _) = findings(scenario, &[]).await;
            found
                .iter()
                .any(|finding| is(finding, fault.line, fault.says))
        })
        .await
        .unwrap();
        finds(scenario, &[], fault.line, fault.says).await;
        run(fault.mend).await;
    }
    // One that was altered is as good as before once somebody accepts it.
    if faults.iter().any(|fault| fault.line.1 == "publication") {
        let admin = scenario.database_url.clone();
        let accept = ["--accept-publication", "--admin-url", &admin];
        scenario.init(&accept).await;
    }
    wait::until("nothing to say", DEADLINE, async || {
        let (found, _) = findings(scenario, &[]).await;
        found.iter().all(|finding| finding["level"] == "ok")
    })
    .await
    .unwrap();
    println!("{} faults found", faults.len());
}
