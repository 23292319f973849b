//! Whether anyone carries requests out, in words.

use crate::stuck::Presence;

/// For people.
pub(super) fn presence_text(presence: Presence, relay: &str, slot: &str) -> String {
    match presence {
        Presence::Running => format!("relay {relay} runs: it reads from slot {slot}"),
        Presence::Away => {
            format!("no relay reads from slot {slot}: the request waits until a relay {relay} runs")
        }
        Presence::NoSlot => format!(
            "there is no slot {slot}: nobody will carry a request out; set relay {relay} up first (see \
             `outbox-sidecar status`)"
        ),
    }
}

/// For programs.
pub(super) const fn presence_word(presence: Presence) -> &'static str {
    match presence {
        Presence::Running => "running",
        Presence::Away => "away",
        Presence::NoSlot => "no-slot",
    }
}
