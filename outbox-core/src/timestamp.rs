use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, in microseconds since 1970-01-01 UTC: PostgreSQL's resolution.
///
/// PostgreSQL's `infinity` and `-infinity` are [`Timestamp::INFINITY`] and
/// [`Timestamp::NEGATIVE_INFINITY`]. What it can say of the years behind 294246 counts as `infinity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 2000-01-01 UTC, where PostgreSQL counts from, in microseconds since 1970.
const POSTGRESQL_EPOCH_US: i64 = 946_684_800_000_000;

impl Timestamp {
    /// After every other: PostgreSQL's `infinity`.
    pub const INFINITY: Self = Self(i64::MAX);
    /// Before every other: PostgreSQL's `-infinity`.
    pub const NEGATIVE_INFINITY: Self = Self(i64::MIN);

    /// From microseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn from_unix_us(microseconds: i64) -> Self {
        Self(microseconds)
    }

    /// From PostgreSQL's binary `timestamptz`: microseconds since 2000-01-01 UTC.
    #[must_use]
    pub const fn from_postgresql_us(microseconds: i64) -> Self {
        match microseconds {
            i64::MIN => Self::NEGATIVE_INFINITY,
            // The other infinity is what this saturates to.
            _ => Self(microseconds.saturating_add(POSTGRESQL_EPOCH_US)),
        }
    }

    /// Microseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn as_unix_us(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970-01-01 UTC, rounded down.
    #[must_use]
    pub const fn as_unix_ms(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Microseconds since 2000-01-01 UTC, as PostgreSQL sends them.
    #[must_use]
    pub const fn as_postgresql_us(self) -> i64 {
        match self {
            Self::INFINITY => i64::MAX,
            // The other infinity is what this saturates to.
            _ => self.0.saturating_sub(POSTGRESQL_EPOCH_US),
        }
    }

    /// How long after `earlier` this is; zero when it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let microseconds = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        };
        Self(microseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_go_to_postgresql_as_they_came() {
        for (us, time) in [
            (i64::MIN, Timestamp::NEGATIVE_INFINITY),
            (i64::MAX, Timestamp::INFINITY),
            (0, Timestamp::from_unix_us(POSTGRESQL_EPOCH_US)),
            // 4714 BC, the first day that PostgreSQL knows.
            (
                -211_813_488_000_000_000,
                Timestamp::from_unix_us(-210_866_803_200_000_000),
            ),
        ] {
            assert_eq!(Timestamp::from_postgresql_us(us), time);
            assert_eq!(time.as_postgresql_us(), us);
        }
    }
}
