use std::fmt::Write as _;

use serde_json::{Value, json};

use super::arguments::ReportArguments;
use super::{CliError, print};
use crate::assembly::assemble;
use crate::config::Settings;
use crate::control::{Waiting, connect, failure_of, read_set_up, relay_names};
use crate::exit::ExitCode;
use crate::http::fetch_status;
use crate::setup::SetupError;
use crate::source::slot::read_slot;

/// Says how far the relay is, straight from database and broker, and from the running relay
/// where it answers. What is away says so in its place and makes the command fail: the others are
/// most wanted just then.
pub(super) async fn execute(
    command: &ReportArguments,
    settings: &Settings,
) -> Result<u8, CliError> {
    let (database, checkpoint, running) =
        tokio::join!(database(settings), checkpoint(settings), running(settings));
    let complete = database.is_ok() && checkpoint.is_ok();
    let report = json!({
        "relay": settings.relay,
        "database": database.unwrap_or_else(|error| json!({ "error": error.to_string() })),
        "checkpoint": checkpoint.unwrap_or_else(|error| json!({ "error": error })),
        "running": running,
    });
    if command.json {
        print(&format!("{report:#}"));
    } else {
        let mut text = verdict(&report, settings);
        lines("", &report, &mut text);
        print(&text);
    }
    let code = if complete {
        ExitCode::Done
    } else {
        ExitCode::Failed
    };
    Ok(code.number())
}

/// The answer to "is anyone active?", in one line.
fn verdict(report: &Value, settings: &Settings) -> String {
    let at = |path: &str| report.pointer(path).filter(|value| !value.is_null());
    let text = |path: &str| at(path).and_then(Value::as_str).unwrap_or_default();
    let said = if at("/running").is_none() {
        let elsewhere = if let Some(pid) = at("/database/slot/held_by") {
            format!("but walsender {pid} serves a relay elsewhere")
        } else if at("/database/error").is_some() {
            "and the database does not: whether anyone publishes is unknown".to_owned()
        } else {
            "and nobody holds the slot: nobody publishes".to_owned()
        };
        let held = at("/database/held").map_or_else(String::new, |held| {
            let code = held.get("exit_code").cloned().unwrap_or_default();
            format!(
                "HELD since an earlier run (exit {code}): {}\n",
                text("/database/held/reason")
            )
        });
        let (relay, listen) = (&settings.relay, settings.listen);
        format!("{held}no relay {relay} answers at {listen}, {elsewhere}")
    } else if at("/running/held").is_some() {
        format!(
            "HELD before message {} for {}: {}; mend the cause, then restart the relay",
            text("/running/held/message_id"),
            text("/running/held/destination"),
            text("/running/held/error")
        )
    } else {
        let phase = text("/running/phase");
        let reasons = ["/running/standby_reason", "/running/sink/error"];
        match reasons.map(text).into_iter().find(|why| !why.is_empty()) {
            None => phase.to_owned(),
            Some(why) => format!("{phase}: {why}"),
        }
    };
    let set_aside = at("/database/set_aside/messages").and_then(Value::as_object);
    let set_aside = set_aside.map_or(0, |reasons| {
        reasons.values().filter_map(Value::as_i64).sum()
    });
    let set_aside = match set_aside {
        0 => String::new(),
        1 => "1 message is set aside: see `stuck list`\n".to_owned(),
        count => format!("{count} messages are set aside: see `stuck list`\n"),
    };
    let careful = at("/running/careful_messages").and_then(Value::as_u64);
    let careful = careful.filter(|left| *left > 0).map_or_else(String::new, |left| {
        format!(
            "slow: {left} messages more go in small batches, since earlier processes ended without a \
             word; see `outbox_unclean_ends` in docs/metrics.md\n"
        )
    });
    let others = at("/database/other_relays").and_then(Value::as_array);
    let others: Vec<_> = others
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let relay = &settings.relay;
    if !others.is_empty() {
        let others = others.join(", ");
        return format!("relay {relay} was never set up in this database; set up are: {others}\n");
    }
    let slot_gone = at("/database/slot").is_none() && at("/database/error").is_none();
    let slot = if slot_gone {
        format!("slot {} does not exist\n", settings.slot())
    } else {
        String::new()
    };
    format!("{said}\n{careful}{set_aside}{slot}")
}

/// What a relay of this name says that listens where this configuration says.
async fn running(settings: &Settings) -> Option<Value> {
    let status = fetch_status(settings.listen).await.ok()?;
    let name = status.get("relay").and_then(Value::as_str);
    (name == Some(settings.relay.as_str())).then_some(status)
}

async fn database(settings: &Settings) -> Result<Value, SetupError> {
    let client = connect(&settings.address, "outbox-sidecar status", || {}).await?;
    let failed = |error| SetupError::from(failure_of(&error, "reading the relay's state"));
    let slot = read_slot(&client, &settings.slot()).await.map_err(failed)?;
    let set_up = read_set_up(&client, &settings.schema, &settings.relay).await?;
    let others = match set_up {
        Some(_) => Vec::new(),
        None => relay_names(&client, &settings.schema).await,
    };
    let confirmed = slot
        .as_ref()
        .map(|slot| slot.state.confirmed_flush.to_string());
    let sql = "select pg_catalog.pg_current_wal_lsn()::text, \
               (pg_catalog.pg_current_wal_lsn() - $1::text::pg_lsn)::int8, \
               array(select slot_name::text from pg_catalog.pg_replication_slots \
                     where slot_name like 'outbox\\_%' and not active \
                       and slot_name <> $2 order by 1)";
    let row = client
        .query_one(sql, &[&confirmed, &settings.slot()])
        .await
        .map_err(failed)?;
    let wal_end: String = row.try_get(0).map_err(failed)?;
    let lag_bytes: Option<i64> = row.try_get(1).map_err(failed)?;
    let idle_slots: Vec<String> = row.try_get(2).map_err(failed)?;
    let set_aside = Waiting::read(&client, &settings.schema, &settings.relay).await?;
    Ok(json!({
        "wal_end": wal_end,
        "lag_bytes": lag_bytes,
        "slot": slot.as_ref().map(|slot| json!({
            "name": settings.slot(),
            "confirmed": slot.state.confirmed_flush.to_string(),
            "wal_status": slot.wal_status,
            "safe_wal_bytes": slot.safe_wal_bytes,
            "held_by": slot.state.holder.map(|holder| holder.pid),
            "fault": slot.state.fault,
        })),
        "other_relays": others,
        "set_up": set_up.as_ref().is_some_and(|set_up| set_up.row.genesis_written),
        "held": set_up.and_then(|set_up| set_up.row.held).map(|(exit_code, reason)| json!({
            "exit_code": exit_code, "reason": reason,
        })),
        "set_aside": set_aside,
        "other_inactive_slots": idle_slots,
    }))
}

async fn checkpoint(settings: &Settings) -> Result<Value, String> {
    let settings = settings.clone();
    let peeked = tokio::task::spawn_blocking(move || {
        let mut sink = assemble(&settings).map_err(|error| error.to_string())?;
        sink.peek().map_err(|error| error.to_string())
    });
    let found = peeked.await.map_err(|error| error.to_string())??;
    Ok(found.map_or(Value::Null, |found| {
        json!({
            "sequence": found.sequence,
            "frontier": found.frontier.to_string(),
            "system_id": found.system_id.to_string(),
            "timeline": found.timeline.0,
            "written_at_us": found.written_at.as_unix_us(),
            "last_message_id": found.last.map(|last| last.message_id.to_string()),
        })
    }))
}

/// Nested values as dotted names, one a line.
fn lines(prefix: &str, value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if prefix.is_empty() {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                lines(&path, member, text);
            }
        }
        Value::Null => {}
        Value::String(plain) => {
            let _ = writeln!(text, "{prefix} = {plain}");
        }
        other => {
            let _ = writeln!(text, "{prefix} = {other}");
        }
    }
}
