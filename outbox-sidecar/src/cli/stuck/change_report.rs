//! What `replay` and `skip` would do, and what they did.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::cli::described::{
    Described, extent_members, extent_text, left_out_json, left_out_text, object, requests_json,
    requests_text,
};
use crate::cli::words::{counted, either, plain};
use crate::operator::Outcome;
use crate::stuck::{Answer, Kind, Plan, TakenBy};

/// What is asked, and of whom.
pub(super) struct Change<'a> {
    pub(super) kind: Kind,
    pub(super) of: Described<'a>,
}

/// A line for each thing that would happen.
pub(super) fn plan_text(change: &Change<'_>, plan: &Plan) -> String {
    // Writing to a string cannot fail.
    let mut text = String::new();
    if plan.chosen.messages == 0 {
        text.push_str("no message waits that fits\n");
    } else {
        let (kind, chosen) = (change.kind.as_str(), extent_text(&plan.chosen, "to"));
        let _ = writeln!(text, "would {kind} {chosen}");
    }
    if let Some(which) = change.gives_up_waiting(plan) {
        let _ = writeln!(
            text,
            "{which}: with the --reason of the others they would be published instead"
        );
    }
    let destination = change.of.destination;
    if let Some(destination) = destination.filter(|_| plan.chosen.messages > 0) {
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
    if plan.chosen.messages > 0 {
        text.push_str(&change.of.open_text());
        let _ = writeln!(text, "{}", change.of.presence_text());
    }
    text
}

/// The same, for programs.
pub(super) fn plan_json(change: &Change<'_>, plan: &Plan) -> Value {
    let refused = plan.refused_keys.iter().map(|key| {
        json!({
            "destination": key.destination,
            "key": key.key,
            "messages": key.messages,
            "earlier": key.earlier,
            "first": key.first.to_string(),
        })
    });
    let mut answer = change.head();
    answer.extend(extent_members(&plan.chosen));
    answer.extend(object([
        ("merely_wait", json!(plan.merely_wait)),
        ("taken_along", json!(plan.taken_along)),
        ("refused", json!(plan.refused)),
        ("refused_key_count", json!(plan.refused_key_count)),
        ("refused_keys", refused.collect()),
        ("taken", taken_json(&plan.taken)),
        ("settled", json!(plan.settled)),
        ("foreign", json!(plan.foreign)),
    ]));
    answer.into()
}

impl Change<'_> {
    /// Which messages are given up though nobody ever refused them, in words.
    pub(super) fn gives_up_waiting(&self, plan: &Plan) -> Option<String> {
        let count = plan.merely_wait;
        (self.kind == Kind::Skip && count > 0).then(|| {
            format!(
                "{count} of them {} never refused, and merely {} for {} key",
                either(count, "was", "were"),
                either(count, "waits", "wait"),
                either(count, "its", "their"),
            )
        })
    }

    fn head(&self) -> Map<String, Value> {
        let mut head = self.of.head();
        head.extend(object([
            ("kind", json!(self.kind.as_str())),
            ("to", json!(self.of.destination)),
        ]));
        head
    }
}

/// What was asked, and what came of it as far as it was waited for.
pub(super) fn answer_text(change: &Change<'_>, plan: &Plan, answer: &Answer) -> String {
    let requests = (answer.requests.len() as u64).saturating_sub(answer.rounds);
    let mut text = format!(
        "asked relay {} to {} {} in {}\n",
        change.of.relay,
        change.kind.as_str(),
        counted(answer.asked, "message"),
        requests_text(requests, &answer.requests),
    );
    if let Some(outcome) = answer.outcome {
        let _ = writeln!(
            text,
            "{} published, {} skipped, {} returned",
            outcome.published, outcome.skipped, outcome.returned
        );
    }
    text.push_str(&left_out_text("returned", &answer.returned));
    if answer.outcome.is_some_and(|outcome| outcome.returned > 0) {
        let _ = writeln!(
            text,
            "what was returned waits again, what was refused once more with its new error: see \
             `outbox-sidecar stuck list`"
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
    let unreleased_keys = answer.rest.as_ref().map_or(0, |rest| rest.unreleased_keys);
    if unreleased_keys > 0 {
        let _ = writeln!(
            text,
            "{} still {} messages that merely wait: repeat the command with --reason key-blocked",
            counted(unreleased_keys, "key"),
            either(unreleased_keys, "has", "have")
        );
    }
    if answer.left_out > 0 {
        let _ = writeln!(
            text,
            "{} left out: an earlier one of their key waits again",
            counted(answer.left_out, "message")
        );
    }
    if let Some(rest) = &answer.rest {
        text.push_str(&taken_text(&rest.taken));
    }
    let gone = gone(plan, answer).unwrap_or_default();
    if gone > 0 {
        let _ = writeln!(
            text,
            "{} not asked for any more: {} gone along with others, or somebody has decided",
            counted(gone, "message"),
            either(gone, "it has", "they have")
        );
    }
    if answer.outcome.is_none() && !answer.requests.is_empty() {
        let _ = writeln!(text, "{}", change.of.presence_text());
    }
    text
}

/// The same, for programs.
pub(super) fn answer_json(change: &Change<'_>, plan: &Plan, answer: &Answer) -> Value {
    let outcome = answer.outcome.map(
        |Outcome {
             published,
             skipped,
             returned,
         }| json!({ "published": published, "skipped": skipped, "returned": returned }),
    );
    let mut members = change.head();
    members.extend(object([
        ("chosen", json!(plan.chosen.messages)),
        ("asked", json!(answer.asked)),
        ("requests", requests_json(&answer.requests)),
        ("outcome", json!(outcome)),
        ("returned", left_out_json(&answer.returned)),
        ("rounds", json!(answer.rounds)),
        (
            "unreleased_keys",
            json!(answer.rest.as_ref().map(|rest| rest.unreleased_keys)),
        ),
        ("left_out", json!(answer.left_out)),
        (
            "taken",
            json!(answer.rest.as_ref().map(|rest| taken_json(&rest.taken))),
        ),
        ("gone", json!(gone(plan, answer))),
    ]));
    members.into()
}

/// What was chosen, and neither asked for nor left out nor taken by others: it was replayed or
/// skipped meanwhile, as what went along with others. Not known of a command that ended early.
fn gone(plan: &Plan, answer: &Answer) -> Option<u64> {
    let rest = answer.rest.as_ref()?;
    let new_taken = sum(&rest.taken).saturating_sub(sum(&plan.taken));
    let accounted = answer.asked + answer.left_out + new_taken;
    Some(plan.chosen.messages.saturating_sub(accounted))
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
