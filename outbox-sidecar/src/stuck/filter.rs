use outbox_core::{MessageId, Timestamp};

use crate::operator::{Values, conditions};
use crate::sink::message_text::timestamp_text;

/// Which messages: those that fit every condition that was given, and of each condition any value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) ids: Vec<MessageId>,
    pub(crate) keys: Vec<String>,
    pub(crate) destinations: Vec<String>,
    pub(crate) types: Vec<String>,
    pub(crate) reasons: Vec<String>,
    /// Set aside at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// Set aside before this time.
    pub(crate) until: Option<Timestamp>,
}

/// In which states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StateFilter {
    /// Those that are not settled: `waiting` and `replaying`.
    #[default]
    Unsettled,
    /// Those in one state.
    Only(&'static str),
    /// All.
    All,
}

impl Filter {
    /// Whether everything fits.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The condition on a row `p` of the table.
    pub(super) fn sql(&self, values: &mut Values) -> String {
        let columns = [
            ("key", &self.keys),
            ("destination", &self.destinations),
            ("type", &self.types),
            ("reason", &self.reasons),
        ];
        let mut conditions = conditions('p', &self.ids, &columns, values);
        for (comparison, time) in [(">=", self.since), ("<", self.until)] {
            if let Some(time) = time {
                let time = values.add(timestamp_text(time));
                conditions.push(format!(
                    "p.parked_at {comparison} {time}::text::timestamptz"
                ));
            }
        }
        format!("({})", conditions.join(" and "))
    }
}

impl StateFilter {
    /// The condition on a row `p` of the table.
    pub(super) fn sql(self) -> String {
        match self {
            Self::Unsettled => "p.state in ('waiting', 'replaying')".to_owned(),
            Self::Only(state) => format!("p.state = '{state}'"),
            Self::All => "true".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_has_a_value_of_its_own() {
        let mut values = Values::default();
        assert_eq!(Filter::default().sql(&mut values), "(true)");
        assert!(Filter::default().is_empty());
        let filter = Filter {
            keys: vec!["4711".to_owned()],
            since: Some(Timestamp::from_unix_us(0)),
            until: Some(Timestamp::from_unix_us(1)),
            ..Filter::default()
        };
        assert!(!filter.is_empty());
        assert_eq!(
            filter.sql(&mut values),
            "(true and p.key = any($1::text[]) and p.parked_at >= $2::text::timestamptz and \
             p.parked_at < $3::text::timestamptz)"
        );
        assert_eq!(values.as_parameters().len(), 3);
    }
}
