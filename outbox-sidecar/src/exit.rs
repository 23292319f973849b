//! The exit codes of commands. A relay that stops has its own: `outbox_core::relay::Stop`.

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// Done.
    Done = 0,
    /// Failed at run time.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// A check or an audit found a problem.
    Findings = 3,
    /// The slot or the publication is missing or lost.
    SlotMissing = 4,
    /// The slot is ahead of the checkpoint, or the checkpoint is missing or corrupt.
    Checkpoint = 5,
}

impl ExitCode {
    /// The number that the operating system gets.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}
