use outbox_core::{MessageId, Timestamp};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::sink::message_text::write_timestamp;

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
        let mut conditions = vec!["true".to_owned()];
        if !self.ids.is_empty() {
            let ids: Vec<Uuid> = self.ids.iter().copied().map(Uuid::from).collect();
            conditions.push(format!("p.id = any({}::uuid[])", values.add(ids)));
        }
        for (column, texts) in [
            ("key", &self.keys),
            ("destination", &self.destinations),
            ("type", &self.types),
            ("reason", &self.reasons),
        ] {
            if !texts.is_empty() {
                let texts = values.add(texts.clone());
                conditions.push(format!("p.{column} = any({texts}::text[])"));
            }
        }
        for (comparison, time) in [(">=", self.since), ("<", self.until)] {
            if let Some(time) = time {
                let mut text = String::new();
                write_timestamp(&mut text, time);
                let time = values.add(text);
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

/// The values of a statement, in the order of their numbers.
#[derive(Default)]
pub(crate) struct Values(Vec<Box<dyn ToSql + Sync + Send>>);

impl Values {
    /// Adds a value, and says how the statement names it.
    pub(crate) fn add(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.0.push(Box::new(value));
        format!("${}", self.0.len())
    }

    /// As a statement takes them.
    pub(crate) fn as_parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0
            .iter()
            .map(|value| -> &(dyn ToSql + Sync) { value.as_ref() })
            .collect()
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
