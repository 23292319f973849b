use outbox_core::relay::{Claim, FailureKind, SourceFailure};
use outbox_core::schema::SchemaName;
use uuid::Uuid;

/// Who writes about stuck messages: a relay, and its slot.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) schema: &'a SchemaName,
    pub(super) relay: &'a str,
    pub(super) slot: &'a str,
    /// Tells this process from every other that held the relay.
    pub(super) run: Uuid,
}

/// What must hold for a statement to mean anything: the relay's epoch is this one, and its slot is
/// in the hands of this server's process that serves our stream.
const CLAIM: &str = "r.name = $1 and r.epoch = $2
    and exists (select from pg_catalog.pg_replication_slots as s
                where s.slot_name = $3 and s.active_pid = $4)";

/// Counts the write, where the claim holds; whoever claims next waits until it is done.
pub(super) const COUNTED: &str = "
    update {schema}.relay as r set stuck_writes = r.stuck_writes + 1 where {claim}
    returning r.stuck_writes";

/// How often was written, where the claim holds.
pub(super) const WRITES: &str = "select r.stuck_writes from {schema}.relay as r where {claim}";

impl Writer<'_> {
    pub(super) fn sql(&self, template: &str) -> String {
        template
            .replace("{counted}", COUNTED)
            .replace("{claim}", CLAIM)
            .replace("{schema}", &self.schema.quoted())
    }
}

pub(super) fn epoch(claim: Claim) -> i64 {
    i64::try_from(claim.epoch).unwrap_or(i64::MAX)
}

pub(super) fn superseded() -> SourceFailure {
    SourceFailure {
        kind: FailureKind::ClaimSuperseded,
        message: "outbox.parked is another relay's turn: the slot is not held by our replication \
                  connection any more, or a newer activation has claimed the epoch"
            .to_owned(),
    }
}
