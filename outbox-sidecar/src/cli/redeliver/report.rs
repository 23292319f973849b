//! What `redeliver` would do, and what it did.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::described::{
    Described, extent_members, extent_text, left_out_json, left_out_text, object, requests_json,
    requests_text,
};
use crate::cli::words::{counted, either, plain};
use crate::redelivery::{Answer, Order, Plan};

/// A line for each thing that would happen.
pub(super) fn plan_text(described: &Described<'_>, plan: &Plan) -> String {
    // Writing to a string cannot fail.
    let mut text = String::new();
    if plan.chosen.messages == 0 {
        text.push_str("no message of that range was published that fits\n");
    } else {
        let _ = writeln!(text, "would redeliver {}", extent_text(&plan.chosen, "of"));
        if let Some(destination) = described.destination {
            let _ = writeln!(text, "they would go to {}", plain(destination));
        }
    }
    if plan.set_aside > 0 {
        let _ = writeln!(
            text,
            "{} {} set aside, or given up, and {} never published: left out, see `outbox-sidecar stuck \
             list --state all`",
            counted(plan.set_aside, "message"),
            either(plan.set_aside, "is", "are"),
            either(plan.set_aside, "was", "were"),
        );
    }
    if plan.chosen.messages > 0 {
        if plan.order == Order::CreatedAt {
            text.push_str(
                "they go in the order in which they were enqueued: the server does not keep the times \
                 of commits (track_commit_timestamp)\n",
            );
        }
        text.push_str(&described.open_text());
        let _ = writeln!(text, "{}", described.presence_text());
    }
    text
}

/// The same, for programs.
pub(super) fn plan_json(described: &Described<'_>, plan: &Plan) -> Value {
    let mut answer = described.head();
    answer.extend(extent_members(&plan.chosen));
    answer.extend(object([
        ("destination", json!(described.destination)),
        ("set_aside", json!(plan.set_aside)),
        ("order", json!(plan.order.as_str())),
    ]));
    answer.into()
}

/// What was asked, and what came of it as far as it was waited for.
pub(super) fn answer_text(described: &Described<'_>, answer: &Answer) -> String {
    let mut text = format!(
        "asked relay {} to redeliver {} in {}\n",
        described.relay,
        counted(answer.asked, "message"),
        requests_text(answer.requests.len() as u64, &answer.requests),
    );
    let Some(outcome) = answer.outcome else {
        let _ = writeln!(text, "{}", described.presence_text());
        return text;
    };
    let _ = writeln!(
        text,
        "{} published, {} left out",
        outcome.published, outcome.returned
    );
    text.push_str(&left_out_text("left out", &answer.left_out));
    let more = outcome
        .returned
        .saturating_sub(answer.left_out.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "left out: {more} more, see outbox.redelivery");
    }
    text
}

/// The same, for programs.
pub(super) fn answer_json(described: &Described<'_>, plan: &Plan, answer: &Answer) -> Value {
    let outcome = answer
        .outcome
        .map(|outcome| json!({ "published": outcome.published, "left_out": outcome.returned }));
    let mut members = described.head();
    members.extend(object([
        ("destination", json!(described.destination)),
        ("chosen", json!(plan.chosen.messages)),
        ("set_aside", json!(plan.set_aside)),
        ("order", json!(plan.order.as_str())),
        ("asked", json!(answer.asked)),
        ("requests", requests_json(&answer.requests)),
        ("outcome", json!(outcome)),
        ("left_out", left_out_json(&answer.left_out)),
    ]));
    members.into()
}
