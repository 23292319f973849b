use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::advice::advice;
use super::error::ConfigError;
use super::mask::key_name;
use super::origin::{EMPTY_SECTION, Entry, Origin, Raw};
use super::{environment, file, keys};

/// Where the file is looked for when none is named.
const FILES: [&str; 2] = ["outbox.toml", "/etc/outbox/outbox.toml"];

/// What the command line adds.
#[derive(Clone, Default)]
pub(crate) struct Overrides {
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// `--set key=value`.
    pub(crate) values: Vec<(String, String)>,
}

/// Every value that was written anywhere; where two were, the one that wins.
#[derive(Clone, Default)]
pub(crate) struct Layers {
    entries: BTreeMap<String, Entry>,
    /// The file that was read, if any.
    file: Option<PathBuf>,
}

impl Layers {
    /// Reads file, environment and flags.
    pub(crate) fn read(
        overrides: &Overrides,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let file = file_to_read(overrides.file.as_deref());
        let mut entries = match &file {
            Some(path) => file::read(path)?,
            None => BTreeMap::new(),
        };
        entries.extend(environment::read(variables));
        entries.extend(overrides.values.iter().map(|(key, value)| {
            let raw = Raw::Text(value.clone());
            (
                key.clone(),
                Entry {
                    raw,
                    origin: Origin::Flag,
                },
            )
        }));
        Self::of(entries, file)
    }

    /// Of these entries, each read as its key says.
    pub(super) fn of(
        mut entries: BTreeMap<String, Entry>,
        file: Option<PathBuf>,
    ) -> Result<Self, ConfigError> {
        for (key, entry) in &mut entries {
            if let (Some(key), Raw::Text(text)) = (keys::find(key), &mut entry.raw) {
                entry.raw = key.kind.read(std::mem::take(text));
            }
        }
        let layers = Self { entries, file };
        layers.require_known_keys()?;
        Ok(layers)
    }

    /// The entry of a key, its default where it was not written.
    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).cloned().or_else(|| {
            let default = keys::find(key)?.default?;
            let raw = keys::find(key)?.kind.read(default.to_owned());
            Some(Entry {
                raw,
                origin: Origin::Default,
            })
        })
    }

    /// Where values were looked for, to end a sentence about one that is missing.
    pub(super) fn looked_in(&self) -> String {
        match &self.file {
            Some(path) => format!("in {}, the environment and the flags", path.display()),
            None => format!(
                "in the environment and the flags; there is no file {}",
                FILES
                    .map(|path| format!("./{path}").replace(".//", "/"))
                    .join(" or ")
            ),
        }
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

    /// The first entry of a section, in the order of the file, if it was written at all.
    pub(super) fn section(&self, name: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .filter(|(key, _)| key.split('.').next() == Some(name))
            .map(|(_, entry)| entry)
            .min_by_key(|entry| entry.origin.line())
    }

    fn require_known_keys(&self) -> Result<(), ConfigError> {
        for (key, entry) in &self.entries {
            let is_empty_section = entry.raw == Raw::Other(EMPTY_SECTION);
            let known = keys::find(key).is_some()
                || key.starts_with(keys::PROPERTIES)
                || key
                    .strip_prefix(keys::ROUTES)
                    .is_some_and(|rest| keys::route_field(rest).is_some())
                || is_empty_section && keys::is_section(key);
            if !known {
                return Err(ConfigError::UnknownKey {
                    origin: entry.origin.clone(),
                    key: key_name(key).to_owned(),
                    advice: advice(key_name(key)),
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
