use std::fmt;
use std::str::FromStr;

use crate::source::quote::quote_literal;

/// Which of `count` relays this one is; each carries the keys that hash to its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    number: u32,
    count: u32,
}

/// The most shards of one outbox: each needs a slot and a walsender of its own.
const SHARDS_MAX: u32 = 1024;

/// A shard or destination that cannot become a row filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidFilter {
    /// Not `i/n`.
    #[error("{0:?} is not a shard: expected i/n with i below n and n at most {SHARDS_MAX}, as 0/1")]
    Shard(String),
    /// No destination at all, or an empty one.
    #[error("destinations must name at least one pattern, such as \"*\" or \"policy-*\"")]
    Destinations,
}

impl Shard {
    /// The only shard.
    pub(crate) const WHOLE: Self = Self {
        number: 0,
        count: 1,
    };
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('/')
            .and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)))
            .filter(|(number, count)| number < count && *count <= SHARDS_MAX)
            .map(|(number, count)| Self { number, count })
            .ok_or_else(|| InvalidFilter::Shard(text.to_owned()))
    }
}

/// The condition on `outbox.message` that lets through what a relay carries; `None` when that is
/// everything.
///
/// `*` in a destination stands for any text. Rows without a key have no order to keep: their id
/// spreads them over the shards (a filter over a null would drop them).
pub(crate) fn row_filter(
    destinations: &[String],
    shard: Shard,
) -> Result<Option<String>, InvalidFilter> {
    if destinations.is_empty() || destinations.iter().any(String::is_empty) {
        return Err(InvalidFilter::Destinations);
    }
    let by_destination = (!destinations.iter().any(|pattern| pattern == "*")).then(|| {
        let conditions: Vec<_> = destinations
            .iter()
            .map(|pattern| condition(pattern))
            .collect();
        format!("({})", conditions.join(" or "))
    });
    let by_shard = (shard.count > 1).then(|| {
        format!(
            "((coalesce(hashtext(key), uuid_hash(id)) & 2147483647) % {} = {})",
            shard.count, shard.number
        )
    });
    let both: Vec<_> = [by_destination, by_shard].into_iter().flatten().collect();
    Ok((!both.is_empty()).then(|| both.join(" and ")))
}

fn condition(pattern: &str) -> String {
    if !pattern.contains('*') {
        return format!("destination = {}", quote_literal(pattern));
    }
    let mut like = String::new();
    for character in pattern.chars() {
        match character {
            '*' => like.push('%'),
            '%' | '_' | '\\' => like.extend(['\\', character]),
            _ => like.push(character),
        }
    }
    format!("destination like {}", quote_literal(&like))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(destinations: &[&str], shard: &str) -> Option<String> {
        let destinations: Vec<_> = destinations.iter().map(ToString::to_string).collect();
        row_filter(&destinations, shard.parse().unwrap()).unwrap()
    }

    #[test]
    fn everything_needs_no_filter() {
        assert_eq!(filter(&["*"], "0/1"), None);
        assert_eq!(filter(&["a", "*"], "0/1"), None);
    }

    #[test]
    fn patterns_mean_themselves_but_for_the_star() {
        assert_eq!(filter(&["a'b"], "0/1").unwrap(), "(destination = 'a''b')");
        assert_eq!(
            filter(&["policy_*", "x"], "1/4").unwrap(),
            r"(destination like E'policy\\_%' or destination = 'x') and ((coalesce(hashtext(key), uuid_hash(id)) & 2147483647) % 4 = 1)"
        );
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in ["", "1", "1/1", "2/1", "-1/2", "0/0", "0/2000", "a/b"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert!(row_filter(&[], Shard::WHOLE).is_err());
    }
}
