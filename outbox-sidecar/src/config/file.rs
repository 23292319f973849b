use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::origin::{EMPTY_SECTION, Entry, Origin, Raw};

/// The largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads a file into entries by dotted key.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Entry>, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(failed(std::io::Error::other(
            "larger than any configuration",
        )));
    }
    parse(&std::fs::read_to_string(path).map_err(failed)?, path)
}

pub(super) fn parse(text: &str, path: &Path) -> Result<BTreeMap<String, Entry>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_at(text, error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let mut entries = BTreeMap::new();
    flatten("", table.get_ref(), &mut |key, raw, at| {
        let origin = Origin::File {
            path: path.to_owned(),
            line: line_at(text, at),
        };
        entries.insert(key, Entry { raw, origin });
    });
    Ok(entries)
}

fn flatten(prefix: &str, table: &DeTable<'_>, add: &mut impl FnMut(String, Raw, usize)) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        match value.get_ref() {
            DeValue::Table(inner) if inner.is_empty() => {
                add(key, Raw::Other(EMPTY_SECTION), name.span().start);
            }
            DeValue::Table(inner) => flatten(&key, inner, add),
            DeValue::Array(items) if items.iter().any(is_table) => {
                for (number, item) in items.iter().enumerate() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        flatten(&format!("{key}.{number}"), inner, add);
                    }
                }
            }
            other => add(key, raw(other), name.span().start),
        }
    }
}

fn is_table(item: &Spanned<DeValue<'_>>) -> bool {
    matches!(item.get_ref(), DeValue::Table(_))
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Boolean(truth) => Raw::Boolean(*truth),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("a number that is too large"), Raw::Integer),
        DeValue::Array(items) => {
            let text = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            };
            items
                .iter()
                .map(text)
                .collect::<Option<Vec<_>>>()
                .map_or(Raw::Other("a list of something else than texts"), Raw::List)
        }
        DeValue::Float(_) => Raw::Other("a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(_) => Raw::Other("a section"),
    }
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use testbed::mutation;

    use super::*;
    use crate::config::hostile;

    #[test]
    fn keys_keep_their_lines() {
        let text = "[relay]\nname = \"p\"\n\n[kafka.properties]\n\"bootstrap.servers\" = \"a:1\"\n";
        let entries = parse(text, Path::new("o.toml")).unwrap();
        let name = &entries["relay.name"];
        assert_eq!(name.raw, Raw::Text("p".into()));
        assert_eq!(name.origin.to_string(), "o.toml:2");
        assert_eq!(
            entries["kafka.properties.bootstrap.servers"]
                .origin
                .to_string(),
            "o.toml:5"
        );
    }

    #[test]
    fn broken_syntax_names_its_line() {
        let error = parse("[relay]\nname = \n", Path::new("o.toml")).unwrap_err();
        assert!(
            error.to_string().starts_with("o.toml:2: not valid TOML"),
            "{error}"
        );
    }

    #[test]
    fn files_with_seeded_mutations_are_entries_or_errors() {
        let corpus = [
            &b"[relay]\nname = \"p\"\n[kafka.properties]\n\"bootstrap.servers\" = \"a:1\"\n"[..],
            b"[[rabbitmq.routes]]\ndestination = '*'\n[[rabbitmq.routes]]\nexchange = \"\"\"\nx\"\"\"\n",
            b"relay.name = \"p\"\nbatch = { messages_max = 0xff, bytes_max = \"8MiB\" }\n",
            b"a.b.c.d = [1, 2.5, 1979-05-27T07:32:00Z, [\"x\"], true]\n# end",
            b"[[[[[[[[[[[[[[[[{{{{{{{{\"\\u0041\\U0001F600\"",
        ];
        mutation::replay("configuration", &corpus, hostile::file);
    }
}
