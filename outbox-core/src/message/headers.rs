use super::{HEADER_NAME_BYTES_MAX, MessageError, MessageField, limits};

/// What the relay's own headers begin with.
const RESERVED_PREFIX: &str = "outbox-";
/// Made of the message's content type.
const RESERVED_NAME: &str = "content-type";

/// Headers in the order in which their names first came; each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    pub(super) fn set(&mut self, name: String, value: String) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }

    pub(super) fn validate(&self) -> Result<(), MessageError> {
        for (name, value) in &self.0 {
            limits::check(MessageField::HeaderName, name, 1..=HEADER_NAME_BYTES_MAX)?;
            limits::check_nul(MessageField::HeaderValue, value)?;
            let prefix = name.get(..RESERVED_PREFIX.len()).unwrap_or_default();
            if prefix.eq_ignore_ascii_case(RESERVED_PREFIX)
                || name.eq_ignore_ascii_case(RESERVED_NAME)
            {
                return Err(MessageError::ReservedHeader { name: name.clone() });
            }
        }
        Ok(())
    }

    /// Appends the JSON object that the column holds.
    #[cfg(any(feature = "sqlx", feature = "tokio-postgres"))]
    pub(crate) fn write_json(&self, mut out: impl std::io::Write) -> serde_json::Result<()> {
        use serde::Serializer;

        serde_json::Serializer::new(&mut out)
            .collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in pairs {
            headers.set((*name).to_owned(), (*value).to_owned());
        }
        headers
    }

    #[test]
    fn of_one_name_the_last_counts() {
        let headers = headers(&[("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(headers.0.len(), 2);
        assert_eq!(headers.0[0], ("a".to_owned(), "3".to_owned()));
        assert_eq!(headers.size_bytes(), 4);
    }

    #[test]
    fn reserved_and_impossible_names_are_refused() {
        headers(&[("traceparent", "00-1-2-01"), ("outbox", ""), ("ä", "ö\n")])
            .validate()
            .unwrap();
        for name in ["outbox-id", "Outbox-x", "outbox-", "Content-Type"] {
            let error = headers(&[(name, "")]).validate().unwrap_err();
            assert!(
                matches!(error, MessageError::ReservedHeader { .. }),
                "{name}"
            );
        }
        for (name, value) in [("", ""), ("a\nb", ""), ("a", "\0"), (&"x".repeat(256), "")] {
            let error = headers(&[(name, value)]).validate().unwrap_err();
            assert!(matches!(error, MessageError::Text { .. }), "{name:?}");
        }
    }
}
