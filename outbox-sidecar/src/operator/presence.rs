/// Whether a relay runs that carries requests out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// A relay reads from the slot.
    Running,
    /// Nobody does.
    Away,
    /// There is no slot.
    NoSlot,
}

impl Presence {
    /// For people.
    pub(crate) fn text(self, relay: &str, slot: &str) -> String {
        match self {
            Self::Running => format!("relay {relay} runs: it reads from slot {slot}"),
            Self::Away => format!(
                "no relay reads from slot {slot}: the request waits until a relay {relay} runs"
            ),
            Self::NoSlot => format!(
                "there is no slot {slot}: nobody would ever carry a request of relay {relay} out (see \
                 `outbox-sidecar status`)"
            ),
        }
    }

    /// For programs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Away => "away",
            Self::NoSlot => "no-slot",
        }
    }
}
