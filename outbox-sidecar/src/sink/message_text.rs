//! The names and text forms of what every consumer sees beside the payload, whatever the broker.

use std::fmt::{self, Write};

use outbox_core::{Position, TimelineId, Timestamp};

/// What the names of our own headers begin with; nobody else may use it.
pub(super) const RESERVED_PREFIX: &str = "outbox-";
/// The message's identity.
pub(super) const ID: &str = "outbox-id";
/// The kind of event.
pub(super) const TYPE: &str = "outbox-type";
/// The media type of the payload.
pub(super) const CONTENT_TYPE: &str = "content-type";
/// Where the message stands in the commit order.
pub(super) const POSITION: &str = "outbox-position";
/// The row's key, where the broker has no place of its own for it.
pub(super) const KEY: &str = "outbox-key";
/// When the service enqueued it.
pub(super) const CREATED_AT: &str = "outbox-created-at";

const US_PER_S: i64 = 1_000_000;
const S_PER_DAY: i64 = 86_400;

/// `<timeline>:<commit_lsn>:<index>`, into a buffer that is used again for each message.
pub(super) fn write_position(buffer: &mut String, timeline: TimelineId, position: Position) {
    buffer.clear();
    append(buffer, format_args!("{}:{position}", timeline.0));
}

/// RFC 3339 in UTC with microseconds, such as `2026-11-21T05:01:04.000250Z`.
pub(super) fn write_timestamp(buffer: &mut String, time: Timestamp) {
    let seconds = time.as_unix_us().div_euclid(US_PER_S);
    let microsecond = time.as_unix_us().rem_euclid(US_PER_S);
    let (year, month, day) = civil_date(seconds.div_euclid(S_PER_DAY));
    let second = seconds.rem_euclid(S_PER_DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    buffer.clear();
    append(
        buffer,
        format_args!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{microsecond:06}Z"
        ),
    );
}

fn append(buffer: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a String cannot fail: its `write_str` only grows it.
    let _ = buffer.write_fmt(text);
}

/// The proleptic Gregorian date that lies `days` after 1970-01-01.
///
/// Counts in years that begin on 1 March, so that the leap day is a year's last:
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_TO_1970: i64 = 719_468;
    let days = days + DAYS_TO_1970;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outbox_core::Lsn;

    #[test]
    fn times_are_written_as_rfc_3339() {
        let mut text = String::new();
        for (us, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (4_107_542_399_000_001, "2100-02-28T23:59:59.000001Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (1_700_000_000_123_456, "2023-11-14T22:13:20.123456Z"),
        ] {
            write_timestamp(&mut text, Timestamp::from_unix_us(us));
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn no_time_panics() {
        let mut text = String::new();
        write_timestamp(&mut text, Timestamp::from_unix_us(i64::MAX));
        write_timestamp(&mut text, Timestamp::from_unix_us(i64::MIN));
        assert!(text.ends_with('Z'));
    }

    #[test]
    fn a_position_names_its_timeline() {
        let mut text = String::from("earlier");
        let position = Position {
            commit_lsn: Lsn::new(0x1_0000_00AB),
            index: 7,
        };
        write_position(&mut text, TimelineId(3), position);
        assert_eq!(text, "3:1/AB:7");
    }
}
