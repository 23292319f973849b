//! How what others wrote, and times, are shown on a terminal.

use outbox_core::Timestamp;

use crate::sink::message_text::timestamp_text;

/// On one line, without control characters: what a service or a broker wrote must not steer a
/// terminal.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// The same, over several lines.
pub(super) fn plain_lines(text: &str) -> String {
    text.split('\n')
        .map(|line| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            line.split('\t').map(plain).collect::<Vec<_>>().join("\t")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The beginning of a long text, on one line.
pub(super) fn short(text: &str, characters_max: usize) -> String {
    let plain = plain(text);
    if plain.chars().count() <= characters_max {
        return plain;
    }
    let kept = plain.chars().take(characters_max.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// To the second.
pub(super) fn moment(time: Option<Timestamp>) -> String {
    let text = time.map(timestamp_text).unwrap_or_default();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// The two largest units.
pub(super) fn age(age_s: u64) -> String {
    let (days, hours, minutes) = (age_s / 86_400, age_s / 3600 % 24, age_s / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{age_s}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", age_s % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

/// A number of things.
pub(super) fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", either(count, "", "s"))
}

/// The word that goes with a number of things.
pub(super) const fn either(count: u64, one: &'static str, more: &'static str) -> &'static str {
    if count == 1 { one } else { more }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_steers_no_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc\u{9b}é"), "a\\u{1b}[2Jb\\nc\\u{9b}é");
        assert_eq!(plain_lines("a\tb\r\nc\x07"), "a\tb\nc\\u{7}");
        assert_eq!(short("äöüß", 3), "äö…");
        assert_eq!(short("äöü", 3), "äöü");
    }

    #[test]
    fn ages_have_two_units() {
        let ages = [59, 61, 3600, 3661, 90_000].map(age);
        assert_eq!(ages, ["59s", "1m 1s", "1h 0m", "1h 1m", "1d 1h"]);
        let time = Some(Timestamp::from_unix_us(1_700_000_000_123_456));
        assert_eq!(moment(time), "2023-11-14T22:13:20Z");
        assert_eq!(counted(1, "key"), "1 key");
        assert_eq!(counted(0, "key"), "0 keys");
    }
}
