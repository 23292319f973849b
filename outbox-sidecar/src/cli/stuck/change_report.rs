//! What `replay` and `skip` would do, and what they did.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::presence::{presence_text, presence_word};
use crate::cli::words::{counted, either, plain};
use crate::stuck::{Answer, Kind, Outcome, Plan, Presence, TakenBy};

/// What is asked, and of whom.
pub(super) struct Described<'a> {
    pub(super) kind: Kind,
    pub(super) relay: &'a str,
    pub(super) slot: &'a str,
    pub(super) destination: Option<&'a str>,
    pub(super) presence: Presence,
    pub(super) is_dry_run: bool,
}

impl Described<'_> {
    /// Whether anyone carries requests out now.
    pub(super) fn presence_text(&self) -> String {
        presence_text(self.presence, self.relay, self.slot)
    }

    const fn presence_word(&self) -> &'static str {
        presence_word(self.presence)
    }
}

/// A line for each thing that would happen.
pub(super) fn plan_text(described: &Described<'_>, plan: &Plan) -> String {
    // Writing to a string cannot fail.
    let mut text = String::new();
    if plan.chosen == 0 {
        text.push_str("no message waits that fits");
    } else {
        let _ = write!(
            text,
            "would {} {}",
            described.kind.as_str(),
            counted(plan.chosen, "message")
        );
        let named: Vec<_> = plan
            .destinations
            .iter()
            .map(|(name, messages)| format!("{messages} to {}", plain(name)))
            .collect();
        let more = plan.destination_count.saturating_sub(named.len() as u64);
        let more = match more {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let _ = write!(
            text,
            " of {}, {} bytes, in {}: {}{more}",
            counted(plan.keys, "key"),
            plan.payload_bytes,
            counted(plan.destination_count, "destination"),
            named.join(", "),
        );
    }
    text.push('\n');
    if let Some(destination) = described.destination.filter(|_| plan.chosen > 0) {
        let _ = writeln!(text, "they would go to {} instead", plain(destination));
    }
    if plan.taken_along > 0 {
        let _ = writeln!(
            text,
            "would publish {} more behind them, of those that merely wait for their key",
            plan.taken_along
        );
    }
    for key in &plan.refused_keys {
        let _ = writeln!(
            text,
            "refused: {}: {}",
            counted(key.messages, "message"),
            plain(&key.to_string())
        );
    }
    let more = plan
        .refused_key_count
        .saturating_sub(plan.refused_keys.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "refused: messages of {more} more keys");
    }
    text.push_str(&taken_text(&plan.taken));
    if plan.settled > 0 {
        let _ = writeln!(
            text,
            "{} {} replayed or skipped before",
            counted(plan.settled, "message"),
            either(plan.settled, "was", "were")
        );
    }
    if plan.foreign > 0 {
        let foreign = counted(plan.foreign, "message");
        let _ = writeln!(
            text,
            "{foreign} {} in another cluster's log: no relay here can replay that",
            either(plan.foreign, "lies", "lie")
        );
    }
    if plan.chosen > 0 {
        let _ = writeln!(text, "{}", described.presence_text());
    }
    text
}

/// The same, for programs.
pub(super) fn plan_json(described: &Described<'_>, plan: &Plan) -> Value {
    let destinations = plan
        .destinations
        .iter()
        .map(|(name, messages)| json!({ "destination": name, "messages": messages }));
    let refused = plan.refused_keys.iter().map(|key| {
        json!({
            "destination": key.destination,
            "key": key.key,
            "messages": key.messages,
            "earlier": key.earlier,
            "first": key.first.to_string(),
        })
    });
    json!({
        "dry_run": described.is_dry_run,
        "kind": described.kind.as_str(),
        "relay": described.relay,
        "presence": described.presence_word(),
        "to": described.destination,
        "chosen": plan.chosen,
        "payload_bytes": plan.payload_bytes,
        "keys": plan.keys,
        "destination_count": plan.destination_count,
        "destinations": destinations.collect::<Vec<_>>(),
        "taken_along": plan.taken_along,
        "refused": plan.refused,
        "refused_key_count": plan.refused_key_count,
        "refused_keys": refused.collect::<Vec<_>>(),
        "taken": taken_json(&plan.taken),
        "settled": plan.settled,
        "foreign": plan.foreign,
    })
}

/// What was asked, and what came of it as far as it was waited for.
pub(super) fn answer_text(described: &Described<'_>, plan: &Plan, answer: &Answer) -> String {
    let mut text = format!(
        "asked relay {} to {} {} in {}",
        described.relay,
        described.kind.as_str(),
        counted(answer.asked, "message"),
        counted(
            (answer.requests.len() as u64).saturating_sub(answer.rounds),
            "request"
        ),
    );
    match answer.requests.as_slice() {
        [only] => {
            let _ = write!(text, " ({only})");
        }
        [first, .., last] => {
            let _ = write!(text, " ({first} to {last})");
        }
        [] => {}
    }
    text.push('\n');
    if let Some(outcome) = answer.outcome {
        let _ = writeln!(
            text,
            "{} published, {} skipped, {} returned",
            outcome.published, outcome.skipped, outcome.returned
        );
    }
    if answer.outcome.is_some_and(|outcome| outcome.returned > 0) {
        let _ = writeln!(
            text,
            "what was returned waits again, with its new error: see `outbox-sidecar stuck list`"
        );
    }
    if answer.rounds > 0 {
        let _ = writeln!(
            text,
            "asked {} more for the rest of keys that were busier than one request takes along",
            if answer.rounds == 1 {
                "once".to_owned()
            } else {
                format!("{} times", answer.rounds)
            }
        );
    }
    if answer.unreleased_keys > 0 {
        let _ = writeln!(
            text,
            "{} still {} messages that merely wait: repeat the command with --reason key-blocked",
            counted(answer.unreleased_keys, "key"),
            either(answer.unreleased_keys, "has", "have")
        );
    }
    if answer.left_out > 0 {
        let _ = writeln!(
            text,
            "{} left out: an earlier one of their key waits again",
            counted(answer.left_out, "message")
        );
    }
    text.push_str(&taken_text(&answer.taken));
    let gone = gone(plan, answer);
    if gone > 0 {
        let _ = writeln!(
            text,
            "{} not asked for any more: {} gone along with others, or somebody has decided",
            counted(gone, "message"),
            either(gone, "it has", "they have")
        );
    }
    if answer.outcome.is_none() && !answer.requests.is_empty() {
        let _ = writeln!(text, "{}", described.presence_text());
    }
    text
}

/// The same, for programs.
pub(super) fn answer_json(described: &Described<'_>, plan: &Plan, answer: &Answer) -> Value {
    let outcome = answer.outcome.map(
        |Outcome {
             published,
             skipped,
             returned,
         }| json!({ "published": published, "skipped": skipped, "returned": returned }),
    );
    let requests: Vec<_> = answer.requests.iter().map(ToString::to_string).collect();
    json!({
        "dry_run": described.is_dry_run,
        "kind": described.kind.as_str(),
        "relay": described.relay,
        "presence": described.presence_word(),
        "to": described.destination,
        "chosen": plan.chosen,
        "asked": answer.asked,
        "requests": requests,
        "outcome": outcome,
        "rounds": answer.rounds,
        "unreleased_keys": answer.unreleased_keys,
        "left_out": answer.left_out,
        "taken": taken_json(&answer.taken),
        "gone": gone(plan, answer),
    })
}

/// What was chosen, and neither asked for nor left out nor taken by others: it was replayed or
/// skipped meanwhile, as what went along with others.
fn gone(plan: &Plan, answer: &Answer) -> u64 {
    let new_taken = sum(&answer.taken).saturating_sub(sum(&plan.taken));
    plan.chosen
        .saturating_sub(answer.asked + answer.left_out + new_taken)
}

fn sum(taken: &[TakenBy]) -> u64 {
    taken.iter().map(|taken| taken.messages).sum()
}

fn taken_text(taken: &[TakenBy]) -> String {
    let mut text = String::new();
    for TakenBy {
        request,
        kind,
        actor,
        messages,
    } in taken
    {
        let doing = if kind == "skip" {
            "skipped"
        } else {
            "replayed"
        };
        let verb = either(*messages, "is", "are");
        let _ = writeln!(
            text,
            "{} {verb} being {doing} by request {request} of {}",
            counted(*messages, "message"),
            plain(actor)
        );
    }
    text
}

fn taken_json(taken: &[TakenBy]) -> Value {
    let each = taken.iter().map(|taken| {
        json!({
            "request": taken.request.to_string(),
            "kind": taken.kind,
            "actor": taken.actor,
            "messages": taken.messages,
        })
    });
    each.collect()
}
