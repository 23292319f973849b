//! What `redeliver` would do, and what it did.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::presence::{presence_text, presence_word};
use crate::cli::words::{counted, either, plain};
use crate::redelivery::{Answer, LeftOut, Order, Plan};
use crate::stuck::Presence;

/// What is asked, and of whom.
pub(super) struct Described<'a> {
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
}

/// A line for each thing that would happen.
pub(super) fn plan_text(described: &Described<'_>, plan: &Plan) -> String {
    // Writing to a string cannot fail.
    let mut text = String::new();
    if plan.chosen == 0 {
        text.push_str("no message of that range was published that fits\n");
    } else {
        let named: Vec<_> = plan
            .destinations
            .iter()
            .map(|(name, messages)| format!("{messages} of {}", plain(name)))
            .collect();
        let more = plan.destination_count.saturating_sub(named.len() as u64);
        let more = match more {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let _ = writeln!(
            text,
            "would redeliver {} of {}, {} bytes, in {}: {}{more}",
            counted(plan.chosen, "message"),
            counted(plan.keys, "key"),
            plan.payload_bytes,
            counted(plan.destination_count, "destination"),
            named.join(", "),
        );
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
    if plan.chosen > 0 {
        if plan.order == Order::CreatedAt {
            text.push_str(
                "they go in the order in which they were enqueued: the server does not keep the times \
                 of commits (track_commit_timestamp)\n",
            );
        }
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
    json!({
        "dry_run": described.is_dry_run,
        "relay": described.relay,
        "presence": presence_word(described.presence),
        "destination": described.destination,
        "chosen": plan.chosen,
        "payload_bytes": plan.payload_bytes,
        "keys": plan.keys,
        "destination_count": plan.destination_count,
        "destinations": destinations.collect::<Vec<_>>(),
        "set_aside": plan.set_aside,
        "order": plan.order.as_str(),
    })
}

/// What was asked, and what came of it as far as it was waited for.
pub(super) fn answer_text(described: &Described<'_>, answer: &Answer) -> String {
    let mut text = format!(
        "asked relay {} to redeliver {} in {}",
        described.relay,
        counted(answer.asked, "message"),
        counted(answer.requests.len() as u64, "request"),
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
    let Some(outcome) = answer.outcome else {
        let _ = writeln!(text, "{}", described.presence_text());
        return text;
    };
    let _ = writeln!(
        text,
        "{} published, {} left out",
        outcome.published, outcome.returned
    );
    for LeftOut {
        id,
        destination,
        reason,
        error,
        ..
    } in &answer.left_out
    {
        let _ = writeln!(
            text,
            "left out: {id} of {}: {}: {}",
            plain(destination),
            plain(reason),
            plain(error)
        );
    }
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
    let requests: Vec<_> = answer.requests.iter().map(ToString::to_string).collect();
    let outcome = answer
        .outcome
        .map(|outcome| json!({ "published": outcome.published, "left_out": outcome.returned }));
    let left_out = answer.left_out.iter().map(|left_out| {
        json!({
            "request": left_out.request.to_string(),
            "id": left_out.id.to_string(),
            "destination": left_out.destination,
            "reason": left_out.reason,
            "error": left_out.error,
        })
    });
    json!({
        "dry_run": described.is_dry_run,
        "relay": described.relay,
        "presence": presence_word(described.presence),
        "destination": described.destination,
        "chosen": plan.chosen,
        "set_aside": plan.set_aside,
        "order": plan.order.as_str(),
        "asked": answer.asked,
        "requests": requests,
        "outcome": outcome,
        "left_out": left_out.collect::<Vec<_>>(),
    })
}
