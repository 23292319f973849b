use std::collections::BTreeMap;

use super::keys;
use super::origin::{Entry, Origin, Raw};

const PREFIX: &str = "OUTBOX_";
const PROPERTIES_PREFIX: &str = "KAFKA__PROPERTIES__";

/// Entries from variables such as `OUTBOX_POSTGRES__URL`. A variable without two underscores
/// between section and key belongs to something else.
pub(super) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
) -> BTreeMap<String, Entry> {
    variables
        .into_iter()
        .filter_map(|(name, value)| {
            let path = name.strip_prefix(PREFIX)?;
            let key = match path.strip_prefix(PROPERTIES_PREFIX) {
                Some(property) => {
                    format!(
                        "{}{}",
                        keys::PROPERTIES,
                        property.to_lowercase().replace('_', ".")
                    )
                }
                None if path.contains("__") => path.to_lowercase().replacen("__", ".", 1),
                None => return None,
            };
            let origin = Origin::Environment(name.clone());
            Some((
                key,
                Entry {
                    raw: Raw::Text(value),
                    origin,
                },
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_properties_have_their_own_spelling() {
        let entries = read([
            ("OUTBOX_POSTGRES__URL".to_owned(), "u".to_owned()),
            ("OUTBOX_BATCH__MESSAGES_MAX".to_owned(), "5".to_owned()),
            (
                "OUTBOX_KAFKA__PROPERTIES__BOOTSTRAP_SERVERS".to_owned(),
                "b:1".to_owned(),
            ),
            ("OUTBOX_TEST_SEED".to_owned(), "1".to_owned()),
        ]);
        let keys: Vec<_> = entries.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "batch.messages_max",
                "kafka.properties.bootstrap.servers",
                "postgres.url"
            ]
        );
    }
}
