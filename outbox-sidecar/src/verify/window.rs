use outbox_core::Timestamp;

/// Which rows are compared, by when they were enqueued: from the first time on, before the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
}

impl Window {
    /// Whether nothing can be enqueued then.
    pub(crate) fn is_empty(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if to <= from)
    }

    /// Whether it leaves anything out.
    pub(super) const fn is_bounded(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// Whether it lets through what was enqueued then.
    pub(super) fn contains(&self, created_at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= created_at) && self.to.is_none_or(|to| created_at < to)
    }
}
