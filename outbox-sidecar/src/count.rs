//! How a number of things is written in what people read.

use std::fmt::Display;

/// `1 broker`, `2 brokers`: the word stands in the singular, and its plural takes an `s`.
pub(crate) fn counted(number: impl Display + PartialEq + From<u8>, word: &str) -> String {
    let plural = if number == From::from(1) { "" } else { "s" };
    format!("{number} {word}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!(counted(0_usize, "broker"), "0 brokers");
        assert_eq!(counted(1_i64, "row"), "1 row");
        assert_eq!(counted(2_u64, "daily partition"), "2 daily partitions");
    }
}
