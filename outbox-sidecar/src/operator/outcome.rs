/// What became of the messages of requests that are carried out, those that were taken along
/// included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) published: u64,
    pub(crate) skipped: u64,
    /// They wait again, or were left out of a redelivery.
    pub(crate) returned: u64,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: Self) {
        self.published += other.published;
        self.skipped += other.skipped;
        self.returned += other.returned;
    }
}
