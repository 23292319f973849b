use std::fmt;
use std::str::FromStr;

/// A position in PostgreSQL's write-ahead log, in bytes since its beginning.
///
/// Written and parsed the way PostgreSQL prints `pg_lsn`: two hexadecimal numbers of up to 32 bits
/// with a slash between them.
///
/// ```
/// use outbox_core::Lsn;
///
/// let lsn: Lsn = "16/B374D848".parse()?;
/// assert_eq!(lsn.as_u64(), 0x16_B374_D848);
/// assert_eq!(lsn.to_string(), "16/B374D848");
/// # Ok::<(), outbox_core::ParseLsnError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// The invalid LSN `0/0`: no record of the log starts there.
    pub const ZERO: Self = Self(0);

    /// The LSN that lies `bytes` bytes after the beginning of the log.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes since the beginning of the log.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// How many bytes of log lie between `earlier` and this one; 0 when this one is the earlier.
    #[must_use]
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// A text that is not an LSN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an LSN: expected two hexadecimal numbers such as 16/B374D848")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let half = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
            plain
                .then(|| u32::from_str_radix(digits, 16).ok())
                .flatten()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some((half(high)?, half(low)?)))
            .map(|(high, low)| Self(u64::from(high) << 32 | u64::from(low)))
            .ok_or_else(|| ParseLsnError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_and_parse_agree_with_postgresql() {
        for (text, bytes) in [("0/0", 0), ("0/1A", 26), ("FFFFFFFF/FFFFFFFF", u64::MAX)] {
            assert_eq!(Lsn::new(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(Lsn::new(bytes)));
        }
        assert_eq!("a/b".parse(), Ok(Lsn::new(0xA_0000_000B)));
    }

    #[test]
    fn what_is_no_lsn_is_refused() {
        for text in [
            "",
            "/",
            "1",
            "1/",
            "/1",
            "1/2/3",
            "+1/2",
            "G/1",
            "100000000/0",
            " 1/2",
        ] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn distance_never_underflows() {
        assert_eq!(Lsn::new(5).bytes_since(Lsn::new(2)), 3);
        assert_eq!(Lsn::new(2).bytes_since(Lsn::new(5)), 0);
    }
}
