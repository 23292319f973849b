use std::fmt::Write as _;

use super::keys;
use super::layers::Layers;
use super::mask::mask;
use super::origin::{Entry, Origin, Raw};

/// Every effective value and where it comes from, as text.
pub(crate) fn show_text(layers: &Layers) -> String {
    let mut text = String::new();
    for (key, Entry { raw, origin }) in effective(layers) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key} = {raw}  # {origin}");
    }
    text
}

/// The same as JSON; null where a value is unset.
pub(crate) fn show_json(layers: &Layers) -> serde_json::Value {
    effective(layers)
        .map(|(key, Entry { raw, origin })| {
            let value = match raw {
                Raw::Text(text) => serde_json::json!(text),
                Raw::Integer(number) => serde_json::json!(number),
                Raw::Boolean(truth) => serde_json::json!(truth),
                Raw::List(texts) => serde_json::json!(texts),
                Raw::Other(_) => serde_json::Value::Null,
            };
            (
                key,
                serde_json::json!({ "value": value, "origin": origin.to_string() }),
            )
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// What is in force, secrets masked.
fn effective(layers: &Layers) -> impl Iterator<Item = (String, Entry)> {
    // Of the sinks only those that were written: the defaults of the others are in force nowhere.
    let in_force =
        |section: &str| !keys::SINKS.contains(&section) || layers.section(section).is_some();
    let written = keys::all().filter(move |key| key.name.split('.').next().is_some_and(in_force));
    let known = written.map(|key| {
        let unset = Entry {
            raw: Raw::Other("unset"),
            origin: Origin::Default,
        };
        (key.name.to_owned(), layers.get(key.name).unwrap_or(unset))
    });
    let properties = layers
        .below(keys::PROPERTIES)
        .map(|(name, entry)| (format!("{}{name}", keys::PROPERTIES), entry.clone()));
    let routes = layers
        .below(keys::ROUTES)
        .map(|(field, entry)| (format!("{}{field}", keys::ROUTES), entry.clone()));
    known
        .chain(properties)
        .chain(routes)
        .map(|(key, mut entry)| {
            mask(&key, keys::is_secret(&key), &mut entry.raw);
            (key, entry)
        })
}
