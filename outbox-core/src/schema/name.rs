use std::fmt;
use std::str::FromStr;

/// The name of the schema that holds the outbox, as PostgreSQL stores it: not quoted, its case
/// kept. 1 to 63 bytes, anything but NUL and `$`.
///
/// ```
/// use outbox_core::schema::SchemaName;
///
/// let name: SchemaName = "Billing Outbox".parse()?;
/// assert_eq!(name.quoted(), r#""Billing Outbox""#);
/// assert_eq!(SchemaName::default().as_str(), "outbox");
/// # Ok::<(), outbox_core::schema::SchemaNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaName(String);

/// The longest identifier PostgreSQL keeps; it silently cuts longer ones.
const NAME_BYTES_MAX: usize = 63;

/// A text that cannot name the outbox's schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} cannot name the outbox's schema: 1 to {NAME_BYTES_MAX} bytes without NUL and \"$\", \
     not beginning with \"pg_\""
)]
pub struct SchemaNameError {
    name: String,
}

impl SchemaName {
    /// The name without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as an SQL identifier, in double quotes.
    #[must_use]
    pub fn quoted(&self) -> String {
        quote_identifier(&self.0)
    }

    /// The name as an SQL string literal.
    pub(crate) fn literal(&self) -> String {
        quote_literal(&self.0)
    }
}

impl Default for SchemaName {
    fn default() -> Self {
        Self("outbox".to_owned())
    }
}

impl FromStr for SchemaName {
    type Err = SchemaNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        // "$" could end a dollar-quoted function body; PostgreSQL keeps "pg_" for itself.
        let valid = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && !name.contains(['\0', '$'])
            && !name.starts_with("pg_");
        if valid {
            Ok(Self(name.to_owned()))
        } else {
            Err(SchemaNameError {
                name: name.to_owned(),
            })
        }
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(super) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Correct whatever `standard_conforming_strings` says.
pub(super) fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_quoted() {
        let name: SchemaName = r#"it's "my" out\box"#.parse().unwrap();
        assert_eq!(name.quoted(), r#""it's ""my"" out\box""#);
        assert_eq!(name.literal(), r#"E'it''s "my" out\\box'"#);
    }

    #[test]
    fn impossible_names_are_refused() {
        for name in ["", "a\0b", "a$b", "pg_outbox", &"x".repeat(64)] {
            assert!(name.parse::<SchemaName>().is_err(), "{name:?}");
        }
        assert!("x".repeat(63).parse::<SchemaName>().is_ok());
    }
}
