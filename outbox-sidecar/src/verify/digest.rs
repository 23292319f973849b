//! What a message's fields come to, small enough to be kept for ten million messages.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::sink::headers::each_header;

/// Makes digests that can be compared within one run, and with those of no other: nobody can
/// prepare two keys or payloads that look alike.
#[derive(Clone, Debug, Default)]
pub(super) struct Digester(RandomState);

/// Stands for what is not there.
const ABSENT: u64 = 0;

impl Digester {
    /// Of bytes, or of their absence.
    pub(super) fn bytes(&self, bytes: Option<&[u8]>) -> u64 {
        bytes.map_or(ABSENT, |bytes| {
            let mut hasher = self.0.build_hasher();
            hasher.write(bytes);
            // The length too, so that no two parts run into each other.
            hasher.write_usize(bytes.len());
            hasher.finish().max(1)
        })
    }

    /// Of the headers, in whatever order a broker shows them.
    pub(super) fn headers<'a>(&self, headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> u64 {
        headers.fold(0, |sum, (name, value)| {
            sum.wrapping_add(self.pair(name, value))
        })
    }

    /// Of the headers of a row; those that no broker can carry are like no others.
    pub(super) fn row_headers(&self, headers: &str) -> u64 {
        let mut sum = 0_u64;
        let read = each_header(headers, |name, value| {
            sum = sum.wrapping_add(self.pair(name, value.as_bytes()));
        });
        read.map_or_else(|_| self.bytes(Some(headers.as_bytes())), |()| sum)
    }

    fn pair(&self, name: &str, value: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_usize(name.len());
        hasher.write(name.as_bytes());
        hasher.write(value);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_compared_in_any_order() {
        let digester = Digester::default();
        let row = digester.row_headers(r#"{"a": "1", "b": "2"}"#);
        let pair = |name, value: &'static str| (name, value.as_bytes());
        let shown = [pair("b", "2"), pair("a", "1")];
        assert_eq!(digester.headers(shown.into_iter()), row);
        for other in [
            vec![pair("b", "1"), pair("a", "2")],
            vec![pair("a", "1")],
            vec![pair("a", "1"), pair("b", "2"), pair("b", "2")],
            vec![pair("a1", ""), pair("b", "2")],
        ] {
            assert_ne!(digester.headers(other.into_iter()), row);
        }
        assert_eq!(digester.row_headers("{}"), digester.headers([].into_iter()));
    }

    #[test]
    fn nothing_is_not_the_empty_text() {
        let digester = Digester::default();
        assert_ne!(digester.bytes(None), digester.bytes(Some(b"")));
    }
}
