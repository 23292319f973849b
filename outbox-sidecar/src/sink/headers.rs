//! A row's own headers: a JSON object of strings, whatever the broker.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};

use super::message_text as text;

/// Whether a row's headers are an object of strings, none of them under a name of ours.
pub(super) fn check_headers(headers: &str) -> Result<(), serde_json::Error> {
    each_header(headers, |_, _| {})
}

/// Hands over each header's name and value, in their order.
pub(crate) fn each_header(
    headers: &str,
    each: impl FnMut(&str, &str),
) -> Result<(), serde_json::Error> {
    // What nearly every row has.
    if headers == "{}" {
        return Ok(());
    }
    let mut reader = serde_json::Deserializer::from_str(headers);
    reader.deserialize_map(EachHeader(each))?;
    reader.end()
}

struct EachHeader<F>(F);

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, F: FnMut(&str, &str)> Visitor<'de> for EachHeader<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            let Text(value) = map.next_value::<Text<'de>>()?;
            if name.starts_with(text::RESERVED_PREFIX) || name == text::CONTENT_TYPE {
                return Err(A::Error::custom(format_args!(
                    "the header name {name:?} is reserved: {:?} and names beginning with {:?} \
                     are the relay's own",
                    text::CONTENT_TYPE,
                    text::RESERVED_PREFIX
                )));
            }
            (self.0)(&name, &value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(headers: &str) -> Result<Vec<(String, String)>, serde_json::Error> {
        let mut pairs = Vec::new();
        each_header(headers, |name, value| {
            pairs.push((name.to_owned(), value.to_owned()))
        })?;
        Ok(pairs)
    }

    #[test]
    fn headers_are_read_as_they_stand() {
        let read = pairs(r#" {"tenant": "7", "q\"": "\u00e9\n"} "#).unwrap();
        let expected = [("tenant", "7"), ("q\"", "é\n")];
        assert_eq!(
            read,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert_eq!(pairs("{}").unwrap(), []);
    }

    #[test]
    fn whatever_is_no_object_of_strings_is_refused() {
        for headers in [
            "",
            "null",
            "[]",
            "\"a\"",
            "{\"a\":1}",
            "{\"a\":null}",
            "{\"a\":{}}",
            "{\"a\":\"b\"",
            "{} {}",
            "{\"outbox-id\":\"x\"}",
            "{\"content-type\":\"x\"}",
        ] {
            assert!(check_headers(headers).is_err(), "{headers:?}");
        }
        assert!(check_headers("{}").is_ok());
    }
}
