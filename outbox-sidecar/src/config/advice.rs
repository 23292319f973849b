//! What is said of a key that does not exist.

use super::key::Key;
use super::keys::{PROPERTIES, all, is_section};

/// What somebody who wrote an unknown key may have meant, or could write there.
pub(super) fn advice(unknown: &str) -> String {
    if let Some(nearest) = nearest(unknown) {
        return format!("did you mean {nearest}?");
    }
    let (section, name) = unknown.split_once('.').unwrap_or((unknown, ""));
    if section == "kafka" && name.contains('.') {
        return format!("what is meant for librdkafka is written as {PROPERTIES}{name}");
    }
    if section == "stdout" {
        return "stdout has no keys".to_owned();
    }
    if is_section(section) && !name.is_empty() {
        return format!("{section} has {}", names_in(section).join(", "));
    }
    format!("the sections are {}", sections().join(", "))
}

/// The key that looks most like an unknown one, or has its name in another section.
fn nearest(unknown: &str) -> Option<&'static str> {
    let elsewhere = |key: &&Key| {
        unknown.split_once('.').is_some_and(|(_, name)| {
            key.name
                .split_once('.')
                .is_some_and(|(_, other)| other == name)
        })
    };
    all()
        .map(|key| (distance(unknown, key.name), key.name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 4)
        .map(|(_, name)| name)
        .or_else(|| all().find(elsewhere).map(|key| key.name))
}

fn names_in(section: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = all()
        .filter_map(|key| key.name.split_once('.'))
        .filter(|(of, _)| *of == section)
        .map(|(_, name)| name)
        .collect();
    match section {
        "kafka" => names.push("properties"),
        "rabbitmq" => names.push("routes"),
        _ => {}
    }
    names
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = all()
        .filter_map(|key| key.name.split_once('.'))
        .map(|(section, _)| section)
        .collect();
    sections.dedup();
    sections
}

/// How many characters must change to turn one text into the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (number, from) in a.chars().enumerate() {
        let mut diagonal = number;
        let mut left = number + 1;
        let mut next = vec![left];
        for (above, to) in row.iter().skip(1).zip(&b) {
            let cost = diagonal + usize::from(from != *to);
            left = cost.min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(advice("relay.nmae"), "did you mean relay.name?");
        assert_eq!(
            advice("batch.message_max"),
            "did you mean batch.messages_max?"
        );
        assert_eq!(advice("relay.schema"), "did you mean postgres.schema?");
    }

    #[test]
    fn otherwise_the_advice_says_what_there_is() {
        assert_eq!(advice("log.colour"), "log has level, format");
        assert_eq!(
            advice("kafka.bootstrap.servers"),
            "what is meant for librdkafka is written as kafka.properties.bootstrap.servers"
        );
        let sections = "the sections are relay, postgres, kafka, rabbitmq, rabbitmq_stream, \
                        stuck, batch, retry, limits, recovery, http, log";
        assert_eq!(advice("something.else"), sections);
        assert_eq!(advice("something"), sections);
    }
}
