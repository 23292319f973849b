//! The names and text forms of what every consumer sees beside the payload, whatever the broker.

use std::fmt::{self, Write};

use outbox_core::sink::Delivery;
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
/// That an operator asked for it after it had been set aside, or once more, and for the how-manieth
/// time.
pub(super) const REPLAY: &str = "outbox-replay";
/// On which request a message that had been published is published once more; its position is the
/// request's then.
pub(super) const REDELIVERY: &str = "outbox-redelivery";

const US_PER_S: i64 = 1_000_000;
const S_PER_DAY: i64 = 86_400;
/// From 1 March of year 0.
const DAYS_TO_1970: i64 = 719_468;

/// `<timeline>:<commit_lsn>:<index>` of the message itself, also where its replay is published, into
/// a buffer that is used again for each message. Where it is redelivered, that of its redelivery.
pub(super) fn write_position(buffer: &mut String, timeline: TimelineId, delivery: &Delivery) {
    let (timeline, position) = delivery.origin(timeline);
    buffer.clear();
    append(buffer, format_args!("{}:{position}", timeline.0));
}

/// The value of [`REPLAY`]; `None` for a message that is published where it stands.
pub(super) fn replay_number(delivery: &Delivery) -> Option<String> {
    let replay = delivery.replay.as_ref()?;
    Some(replay.number.to_string())
}

/// What [`replay_number`] wrote; 0 if it is no number.
pub(super) fn read_replay_number(value: &[u8]) -> u32 {
    let text = std::str::from_utf8(value).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The value of [`REDELIVERY`]; `None` for any other message.
pub(super) fn redelivery(delivery: &Delivery) -> Option<String> {
    delivery.redelivered().map(|request| request.to_string())
}

/// PostgreSQL's words for times before and after all others, which RFC 3339 has none for.
const INFINITY: &str = "infinity";
const NEGATIVE_INFINITY: &str = "-infinity";

/// RFC 3339 in UTC with microseconds, such as `2026-11-21T05:01:04.000250Z`; else PostgreSQL's
/// `infinity` or `-infinity`.
pub(crate) fn write_timestamp(buffer: &mut String, time: Timestamp) {
    if let Timestamp::INFINITY | Timestamp::NEGATIVE_INFINITY = time {
        buffer.clear();
        buffer.push_str(match time {
            Timestamp::INFINITY => INFINITY,
            _ => NEGATIVE_INFINITY,
        });
        return;
    }
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

/// The same in a text of its own, where speed does not matter.
pub(crate) fn timestamp_text(time: Timestamp) -> String {
    let mut text = String::new();
    write_timestamp(&mut text, time);
    text
}

/// What [`write_position`] wrote.
pub(super) fn read_position(text: &str) -> Option<(TimelineId, Position)> {
    let (timeline, rest) = text.split_once(':')?;
    let (commit_lsn, index) = rest.split_once(':')?;
    let position = Position {
        commit_lsn: commit_lsn.parse().ok()?,
        index: number(index)?,
    };
    Some((TimelineId(number(timeline)?), position))
}

/// What [`write_timestamp`] wrote.
pub(super) fn read_created_at(text: &str) -> Option<Timestamp> {
    match text {
        INFINITY => Some(Timestamp::INFINITY),
        NEGATIVE_INFINITY => Some(Timestamp::NEGATIVE_INFINITY),
        _ => read_timestamp(text),
    }
}

/// A time in RFC 3339: what [`write_timestamp`] wrote, and with any zone and up to nine digits of a
/// fraction, of which microseconds are kept. Years 1 to 9999.
pub(crate) fn read_timestamp(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let (time, east_s) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let (time, zone) = time.split_at_checked(time.len().checked_sub(6)?)?;
            let east = match zone.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let [hours, minutes] = digits([2, 2], zone.get(1..)?, ':')?;
            (hours < 24 && minutes < 60).then_some((time, east * (hours * 3600 + minutes * 60)))?
        }
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let is_fraction = (1..=9).contains(&fraction.len());
    if !is_fraction || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let microsecond: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let [year, month, day] = digits([4, 2, 2], date, '-')?;
    let [hour, minute, second] = digits([2, 2, 2], time, ':')?;
    // A leap second counts as the next minute's first.
    let is_time = hour < 24 && minute < 60 && second <= 60;
    let days = days_to(year, month, day)?;
    let seconds = days * S_PER_DAY + hour * 3600 + minute * 60 + second - east_s;
    is_time.then(|| Timestamp::from_unix_us(seconds * US_PER_S + microsecond))
}

/// Numbers of so many digits each.
fn digits<const N: usize>(widths: [usize; N], text: &str, separator: char) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (place, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == width)?;
        *place = number(part)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// A number of digits alone: no sign.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
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

/// The days from 1970-01-01 to a date; `None` when there is no such date.
fn days_to(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    // Months before it, counted in years that begin on 1 March.
    let shifted_month = (month + 9) % 12;
    let shifted_year = year - i64::from(month <= 2);
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let leap_days =
        shifted_year.div_euclid(4) - shifted_year.div_euclid(100) + shifted_year.div_euclid(400);
    let days = shifted_year * 365 + leap_days + day_of_year - DAYS_TO_1970;
    (civil_date(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outbox_core::sink::Replay;
    use outbox_core::{Lsn, MessageId, OutboxRow, RequestId};

    #[test]
    fn a_time_is_read_as_it_was_written() {
        let mut text = String::new();
        for (time, expected) in [
            (Timestamp::INFINITY, "infinity"),
            (Timestamp::NEGATIVE_INFINITY, "-infinity"),
        ] {
            write_timestamp(&mut text, time);
            assert_eq!(text, expected);
            assert_eq!(read_created_at(&text), Some(time));
            assert_eq!(read_timestamp(&text), None, "nobody asks for it by that");
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let time = Timestamp::from_unix_us(
                random.i64(-60_000_000_000_000_000..250_000_000_000_000_000),
            );
            write_timestamp(&mut text, time);
            assert_eq!(read_timestamp(&text), Some(time), "{text}");
        }
        let at = |text: &str| read_timestamp(text).map(Timestamp::as_unix_us);
        assert_eq!(at("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(at("1970-01-01t00:00:00.5-00:30"), Some(1_800_500_000));
        assert_eq!(at("1970-01-01 00:00:00.123456789Z"), Some(123_456));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026",
            "2026-11-21",
            "2026-11-21T05:01:04",
            "2026-02-29T05:01:04Z",
            "2026-00-10T05:01:04Z",
            "2026-13-10T05:01:04Z",
            "2026-11-31T05:01:04Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T05:60:00Z",
            "2026-11-21T05:01:04.Z",
            "2026-11-21T05:01:04.1234567890Z",
            "2026-11-21T05:01:04+25:00",
            "2026-11-21T05:01:04+1",
            "+026-11-21T05:01:04Z",
            "2026-11-21T05:01:04\u{fc}\u{fc}\u{fc}",
        ] {
            assert_eq!(read_timestamp(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let position = Position {
            commit_lsn: Lsn::new(0x1_0000_00AB),
            index: 7,
        };
        assert_eq!(read_position("3:1/AB:7"), Some((TimelineId(3), position)));
        for text in [
            "",
            "3",
            "3:1/AB",
            "3:1/AB:",
            "3:1/AB:7:8",
            "-3:1/AB:7",
            "3:1/AB:+7",
            "3:AB:7",
        ] {
            assert_eq!(read_position(text), None, "{text:?}");
        }
    }

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
        for us in [i64::MAX - 1, i64::MIN + 1] {
            write_timestamp(&mut text, Timestamp::from_unix_us(us));
            assert!(text.ends_with('Z'));
        }
    }

    #[test]
    fn a_position_names_its_timeline() {
        let mut text = String::from("earlier");
        let at = |commit_lsn, index| Position {
            commit_lsn: Lsn::new(commit_lsn),
            index,
        };
        let mut delivery = delivery(at(0x1_0000_00AB, 7));
        write_position(&mut text, TimelineId(3), &delivery);
        assert_eq!(text, "3:1/AB:7");
        assert_eq!(replay_number(&delivery), None);
        // A replay is published somewhere else, and keeps the position of its message.
        delivery.replay = Some(Box::new(Replay {
            request: RequestId::from_bytes([1; 16]),
            origin: Some((TimelineId(2), at(0x10, 2))),
            number: 4,
            reason: String::new(),
        }));
        write_position(&mut text, TimelineId(3), &delivery);
        assert_eq!(text, "2:0/10:2");
        assert_eq!(replay_number(&delivery).as_deref(), Some("4"));
        assert_eq!(redelivery(&delivery), None);
        // Nobody knows the position of one that is published once more.
        if let Some(replay) = &mut delivery.replay {
            (replay.origin, replay.number) = (None, 1);
        }
        write_position(&mut text, TimelineId(3), &delivery);
        assert_eq!(text, "3:1/AB:7");
        assert_eq!(replay_number(&delivery).as_deref(), Some("1"));
        let request = redelivery(&delivery);
        assert_eq!(
            request.as_deref(),
            Some("01010101-0101-0101-0101-010101010101")
        );
    }

    fn delivery(position: Position) -> Delivery {
        Delivery {
            position,
            xid: 1,
            commit_time: Timestamp::default(),
            row: OutboxRow {
                id: MessageId::from_bytes([0; 16]),
                destination: "d".into(),
                key: None,
                message_type: "T".into(),
                content_type: "c".into(),
                payload: None,
                headers: "{}".into(),
                created_at: Timestamp::default(),
            },
            replay: None,
        }
    }
}
