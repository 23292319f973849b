/// What is told, and is no finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Rows that are set aside and not published: they wait, or are being replayed.
    pub(super) set_aside: u64,
    /// Rows that were set aside, and given up by an operator.
    pub(super) given_up: u64,
    /// Rows that wait or are given up, by what `outbox.parked` says, and are published all the same.
    pub(super) aside_and_published: u64,
    /// Messages that say of themselves that they are replays.
    pub(super) replays: u64,
    /// Of those, what came on top of a message that is there without them, and what was redelivered.
    pub(super) sent_again: u64,
    /// Messages of ids that the table does not hold.
    pub(super) without_row: u64,
    /// Rows with the id of another row.
    pub(super) enqueued_again: u64,
    /// Second and later copies, where the delivery allows them.
    pub(super) repeated: u64,
    /// Rows whose position is known, and lies in the range.
    pub(super) in_range: u64,
    /// Rows whose position nothing tells: no message, and no record of one that was set aside.
    pub(super) position_unknown: u64,
}
