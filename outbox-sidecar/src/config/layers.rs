use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::origin::{Entry, Origin, Raw};
use super::{environment, file, keys};

/// Where the file is looked for when none is named.
const FILES: [&str; 2] = ["outbox.toml", "/etc/outbox/outbox.toml"];

/// What the command line adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// `--set key=value`.
    pub(crate) values: Vec<(String, String)>,
}

/// Every value that was written anywhere; where two were, the one that wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    entries: BTreeMap<String, Entry>,
}

impl Layers {
    /// Reads file, environment and flags.
    pub(crate) fn read(
        overrides: &Overrides,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut entries = match file_to_read(overrides.file.as_deref()) {
            Some(path) => file::read(&path)?,
            None => BTreeMap::new(),
        };
        entries.extend(environment::read(variables));
        entries.extend(overrides.values.iter().map(|(key, value)| {
            (
                key.clone(),
                Entry {
                    raw: Raw::Text(value.clone()),
                    origin: Origin::Flag,
                },
            )
        }));
        let layers = Self { entries };
        layers.require_known_keys()?;
        Ok(layers)
    }

    /// The entry of a key, its default where it was not written.
    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).cloned().or_else(|| {
            let default = keys::find(key)?.default?;
            Some(Entry {
                raw: Raw::Text(default.to_owned()),
                origin: Origin::Default,
            })
        })
    }

    /// The entries whose key begins so, with the rest of their key.
    pub(super) fn below<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.entries
            .iter()
            .filter_map(move |(key, entry)| Some((key.strip_prefix(prefix)?, entry)))
    }

    /// The first entry of a section, if it was written at all.
    pub(super) fn section(&self, name: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|(key, _)| key.as_str() == name || key.starts_with(&format!("{name}.")))
            .map(|(_, entry)| entry)
    }

    fn require_known_keys(&self) -> Result<(), ConfigError> {
        for (key, entry) in &self.entries {
            let section = key.split('.').next().unwrap_or_default();
            let known = keys::find(key).is_some()
                || key.starts_with(keys::PROPERTIES)
                || keys::OTHER_SINKS.contains(&section)
                || entry.raw == Raw::Other("an empty section");
            if !known {
                return Err(ConfigError::UnknownKey {
                    origin: entry.origin.clone(),
                    key: key.clone(),
                    nearest: keys::nearest(key),
                });
            }
        }
        Ok(())
    }
}

fn file_to_read(named: Option<&Path>) -> Option<PathBuf> {
    named
        .map(Path::to_owned)
        .or_else(|| FILES.iter().map(PathBuf::from).find(|path| path.exists()))
}
