use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::error::ConfigError;
use super::key::Allowed;
use super::keys;
use super::layers::Layers;
use super::mask::file_name;
use super::origin::{Entry, Origin, Raw};
use super::size::parse_bytes;
use crate::source::connection::{Address, Surroundings};

const URL: &str = "postgres.url";
const URL_FILE: &str = "postgres.url_file";

/// Reads entries as what they must be.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
}

impl Reader<'_> {
    fn entry(&self, key: &str) -> Entry {
        self.layers.get(key).unwrap_or(Entry {
            raw: Raw::Text(String::new()),
            origin: Origin::Default,
        })
    }

    pub(super) fn bad(&self, key: &str, expected: &str) -> ConfigError {
        let entry = self.entry(key);
        let value = if keys::is_secret(key) {
            "not valid".to_owned()
        } else {
            entry.raw.to_string()
        };
        ConfigError::Value {
            origin: entry.origin,
            key: key.to_owned(),
            value,
            expected: expected.to_owned(),
        }
    }

    /// A value that this key may not have.
    pub(super) fn not_allowed(&self, key: &str) -> ConfigError {
        self.bad(key, &expected(key))
    }

    /// Keys that only a later release obeys must say what this one does anyway.
    pub(super) fn nothing_of_later(&self) -> Result<(), ConfigError> {
        for key in keys::all() {
            let Allowed::OnlyDefault { instead } = key.allowed else {
                continue;
            };
            let entry = self.entry(key.name);
            if Some(entry.raw.clone()) != key.default.map(|text| key.kind.read(text.to_owned())) {
                return Err(ConfigError::Unavailable {
                    origin: entry.origin,
                    what: format!("{} = {}", key.name, entry.raw),
                    instead,
                });
            }
        }
        Ok(())
    }

    pub(super) fn text(&self, key: &str) -> Result<String, ConfigError> {
        match self.entry(key).raw {
            Raw::Text(text) => Ok(text),
            _ => Err(self.bad(key, "a text")),
        }
    }

    /// A key without a default.
    pub(super) fn required(&self, key: &'static str) -> Result<String, ConfigError> {
        if self.layers.get(key).is_none() {
            return Err(ConfigError::Missing {
                key,
                expected: expected(key),
                looked_in: self.layers.looked_in(),
            });
        }
        self.text(key)
    }

    pub(super) fn list(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        match self.entry(key).raw {
            Raw::List(texts) => Ok(texts),
            _ => Err(self.bad(key, "a list of texts")),
        }
    }

    pub(super) fn boolean(&self, key: &str) -> Result<bool, ConfigError> {
        match self.entry(key).raw {
            Raw::Boolean(truth) => Ok(truth),
            _ => Err(self.not_allowed(key)),
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, key: &str) -> Result<T, ConfigError> {
        let number = match (self.entry(key).raw, allowed(key)) {
            (Raw::Integer(number), Some(Allowed::Numbers { min, max }))
                if (min..=max).contains(&number) =>
            {
                T::try_from(number).ok()
            }
            _ => None,
        };
        number.ok_or_else(|| self.not_allowed(key))
    }

    pub(super) fn milliseconds(&self, key: &str) -> Result<Duration, ConfigError> {
        self.number(key).map(Duration::from_millis)
    }

    pub(super) fn bytes(&self, key: &str) -> Result<usize, ConfigError> {
        let bytes = match self.entry(key).raw {
            Raw::Integer(number) => u64::try_from(number).ok(),
            Raw::Text(text) => parse_bytes(&text),
            _ => None,
        };
        bytes
            .filter(|bytes| {
                matches!(allowed(key), Some(Allowed::Bytes { min, max })
                    if (min..=max).contains(bytes))
            })
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or_else(|| self.not_allowed(key))
    }

    pub(super) fn parsed<T: FromStr>(&self, key: &str) -> Result<T, ConfigError> {
        self.text(key)?.parse().map_err(|_| self.not_allowed(key))
    }

    /// A file that a key names; none where the key is not set or empty.
    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        let path = PathBuf::from(self.text(key)?);
        Ok(Some(path).filter(|path| !path.as_os_str().is_empty()))
    }

    /// The first line of the file that a key names; none where the key is not set or empty.
    pub(super) fn file(&self, key: &str) -> Result<Option<String>, ConfigError> {
        let Some(path) = self.path(key)? else {
            return Ok(None);
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(source) => Err(ConfigError::ValueFile {
                origin: self.entry(key).origin,
                key: key.to_owned(),
                path: shown(key, &path),
                source,
            }),
        }
    }

    pub(super) fn address(&self) -> Result<Address, ConfigError> {
        let (key, url) = if self.strongest(&[URL, URL_FILE])? == Some(URL_FILE) {
            (URL_FILE, self.file(URL_FILE)?.unwrap_or_default())
        } else if self.layers.get(URL).is_none() && Surroundings::of_process().name_a_server() {
            // The variables of libpq say it all.
            (URL, String::new())
        } else {
            (URL, self.required(URL)?)
        };
        let mut address = Address::parse(&url)
            .map_err(|error| self.bad(key, &format!("{} ({error})", expected(URL))))?;
        // A file that cannot be read now is a mistake; later it may be between two secrets.
        if self.file("postgres.password_file")?.is_some() {
            address.set_password_file(PathBuf::from(self.text("postgres.password_file")?));
        }
        Ok(address)
    }

    /// Of several keys that say one thing the one wins that was written in the strongest place;
    /// none where none was written.
    pub(super) fn strongest(
        &self,
        keys: &[&'static str],
    ) -> Result<Option<&'static str>, ConfigError> {
        let mut strongest: Option<(&'static str, Origin)> = None;
        for key in keys {
            let origin = self.entry(key).origin;
            match &strongest {
                _ if origin == Origin::Default => {}
                Some((other, found)) if found.rank() == origin.rank() => {
                    return Err(ConfigError::Twice {
                        origin,
                        key,
                        other,
                        other_origin: found.clone(),
                    });
                }
                Some((_, found)) if found.rank() > origin.rank() => {}
                _ => strongest = Some((key, origin)),
            }
        }
        Ok(strongest.map(|(key, _)| key))
    }
}

fn allowed(key: &str) -> Option<Allowed> {
    keys::find(key).map(|key| key.allowed)
}

/// What would be valid for a key.
fn expected(key: &str) -> String {
    allowed(key).map(Allowed::expected).unwrap_or_default()
}

/// The name of a file, unless it is an address that was written in its place.
fn shown(key: &str, path: &Path) -> String {
    let path = path.display().to_string();
    if key.ends_with(".url_file") {
        file_name(&path).to_owned()
    } else {
        path
    }
}
