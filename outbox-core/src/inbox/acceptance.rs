/// Whether a consumer has to act on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a duplicate must not be acted on"]
pub enum Acceptance {
    /// It is new, and this transaction has it: act on it here.
    Accepted,
    /// A committed transaction, or this one, has acted on it before: do nothing, and acknowledge it.
    Duplicate,
}

impl Acceptance {
    #[cfg(any(feature = "sqlx", feature = "tokio-postgres"))]
    pub(super) fn of(new: bool) -> Self {
        if new { Self::Accepted } else { Self::Duplicate }
    }
}
