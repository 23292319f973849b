use std::fmt::Write as _;

use super::keys;
use super::layers::Layers;
use super::origin::{Entry, Origin, Raw};

/// Shown in place of a secret.
const MASK: &str = "********";

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
            mask(&key, &mut entry.raw);
            (key, entry)
        })
}

/// A URL keeps everything but its password, so that people see which server is meant.
fn mask(key: &str, raw: &mut Raw) {
    match raw {
        Raw::Other(_) => {}
        Raw::Text(url) if key.ends_with(".url") => *url = without_password(url),
        Raw::List(urls) if key.ends_with(".urls") => {
            for url in urls {
                *url = without_password(url);
            }
        }
        _ if keys::is_secret(key) => *raw = Raw::Text(MASK.to_owned()),
        _ => {}
    }
}

fn without_password(url: &str) -> String {
    let masked = url.split_once("://").and_then(|(scheme, rest)| {
        let (credentials, host) = rest.rsplit_once('@')?;
        let (user, _) = credentials.split_once(':')?;
        Some(format!("{scheme}://{user}:{MASK}@{host}"))
    });
    match masked {
        Some(masked) if !masked.contains("password=") => masked,
        None if !url.contains("password") => url.to_owned(),
        _ => MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        assert_eq!(
            without_password("postgres://u:p@ss@h/d"),
            "postgres://u:********@h/d"
        );
        assert_eq!(without_password("postgres://u@h/d"), "postgres://u@h/d");
        assert_eq!(without_password("host=h password=x"), MASK);
        assert_eq!(without_password("postgres://u@h/d?password=x"), MASK);
    }
}
