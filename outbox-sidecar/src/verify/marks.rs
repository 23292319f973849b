/// A mark for each of so many things: an eighth of a byte for each.
#[derive(Clone, Debug)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    /// For numbers below `count`, none marked.
    pub(super) fn new(count: u64) -> Self {
        Self(vec![
            0;
            usize::try_from(count.div_ceil(64)).unwrap_or_default()
        ])
    }

    pub(super) fn set(&mut self, number: u64) {
        let word = usize::try_from(number / 64).ok();
        if let Some(word) = word.and_then(|word| self.0.get_mut(word)) {
            *word |= 1 << (number % 64);
        }
    }

    pub(super) fn has(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok();
        let word = word.and_then(|word| self.0.get(word));
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}
