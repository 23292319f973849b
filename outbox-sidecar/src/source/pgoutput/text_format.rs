use outbox_core::Timestamp;

const SECONDS_A_DAY: i64 = 86_400;
const MICROSECONDS_A_SECOND: i64 = 1_000_000;

/// Reads a `bytea` as text: hexadecimal after `\x`, or the older escapes.
/// <https://www.postgresql.org/docs/current/datatype-binary.html>
pub(super) fn bytea_from_text(text: &[u8]) -> Option<Vec<u8>> {
    match text.strip_prefix(b"\\x") {
        Some(digits) => from_hexadecimal(digits),
        None => from_escapes(text),
    }
}

fn from_hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok())
        .collect()
}

fn from_escapes(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        text = match (first, rest) {
            (b'\\', [b'\\', rest @ ..]) => {
                bytes.push(b'\\');
                rest
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            (b'\\', _) => return None,
            _ => {
                bytes.push(*first);
                rest
            }
        };
    }
    Some(bytes)
}

/// Reads a `timestamptz` as text in the ISO style, which the connection asks for:
/// `2026-11-21 06:28:52.123456+00`, also `+05:30`, `+05:30:15`, and years before Christ.
pub(super) fn timestamp_from_text(text: &str) -> Option<Timestamp> {
    match text {
        "infinity" => return Some(Timestamp::from_postgresql_us(i64::MAX)),
        "-infinity" => return Some(Timestamp::from_postgresql_us(i64::MIN)),
        _ => {}
    }
    let (text, before_christ) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (date, time) = text.split_once(' ')?;
    let [year, month, day] = numbers::<3>(date, '-')?;
    let year = if before_christ { 1 - year } else { year };
    let sign = time.find(['+', '-'])?;
    let (time, zone) = time.split_at(sign);
    let east = if zone.starts_with('-') { -1 } else { 1 };
    let zone = zone.get(1..)?;
    let offset_s = numbers::<3>(zone, ':')
        .or_else(|| numbers::<2>(zone, ':').map(|[hours, minutes]| [hours, minutes, 0]))
        .or_else(|| numbers::<1>(zone, ':').map(|[hours]| [hours, 0, 0]))
        .map(seconds_of)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let time_s = seconds_of(numbers::<3>(time, ':')?);
    if fraction.is_empty() || fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction_us: i64 = format!("{fraction:0<6}").parse().ok()?;
    let seconds = days_since_1970(year, month, day)? * SECONDS_A_DAY + time_s - east * offset_s;
    seconds
        .checked_mul(MICROSECONDS_A_SECOND)?
        .checked_add(fraction_us)
        .map(Timestamp::from_unix_us)
}

/// Exactly `N` unsigned numbers with `separator` between them. PostgreSQL's years have at most six
/// digits.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    const DIGITS_MAX: usize = 6;
    let mut read = [0; N];
    let mut parts = text.split(separator);
    for number in &mut read {
        let part = parts.next()?;
        if part.is_empty() || part.len() > DIGITS_MAX || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(read)
}

const fn seconds_of([hours, minutes, seconds]: [i64; 3]) -> i64 {
    hours * 3600 + minutes * 60 + seconds
}

/// Days of the Gregorian calendar, years counted from March so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    const DAYS_TO_1970: i64 = 719_468;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - DAYS_TO_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_texts_of_a_bytea_are_read() {
        assert_eq!(bytea_from_text(br"\x00Ff10").unwrap(), [0, 255, 16]);
        assert_eq!(bytea_from_text(br"\x").unwrap(), b"");
        assert_eq!(bytea_from_text(br"a\\b\001\377").unwrap(), b"a\\b\x01\xff");
        for wrong in [&br"\x0"[..], br"\x0g", br"\4", br"\400", br"a\"] {
            assert_eq!(bytea_from_text(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn timestamps_are_read_in_every_zone() {
        let us = |text| timestamp_from_text(text).map(Timestamp::as_unix_us);
        assert_eq!(us("1970-01-01 00:00:00+00"), Some(0));
        assert_eq!(us("2000-01-01 00:00:00.5+00"), Some(946_684_800_500_000));
        assert_eq!(
            us("2024-02-29 12:30:00.000001+05:30"),
            Some(1_709_190_000_000_001)
        );
        assert_eq!(us("1969-12-31 20:59:59-03"), Some(-1_000_000));
        assert_eq!(us("1970-01-01 00:00:15+00:00:15"), Some(0));
        assert_eq!(
            us("0001-01-01 00:00:00+00 BC"),
            Some(-62_167_219_200_000_000)
        );
        for wrong in [
            "",
            "Infinity",
            "2024-02-29",
            "2024-13-01 00:00:00+00",
            "2024-01-01 0:0+00",
        ] {
            assert_eq!(us(wrong), None, "{wrong:?}");
        }
    }
}
