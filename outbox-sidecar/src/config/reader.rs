use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::error::ConfigError;
use super::keys;
use super::layers::Layers;
use super::origin::{Entry, Origin, Raw};
use super::size::parse_bytes;
use crate::source::connection::{Address, Surroundings};

/// The longest delay that can be asked for: a day.
const DELAY_MS_MAX: i64 = 24 * 3600 * 1000;

/// The largest size that can be asked for.
const SIZE_BYTES_MAX: u64 = 64 << 30;

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

    pub(super) fn unavailable(&self, key: &str, instead: &'static str) -> ConfigError {
        let entry = self.entry(key);
        ConfigError::Unavailable {
            origin: entry.origin,
            what: format!("{key} = {}", entry.raw),
            instead,
        }
    }

    /// A choice of which this release has one.
    pub(super) fn only(
        &self,
        key: &str,
        available: &'static str,
        instead: &'static str,
        others: &[&str],
    ) -> Result<(), ConfigError> {
        let text = self.text(key)?;
        if text == available {
            Ok(())
        } else if others.contains(&text.as_str()) {
            Err(self.unavailable(key, instead))
        } else {
            Err(self.bad(key, available))
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<String, ConfigError> {
        match self.entry(key).raw {
            Raw::Text(text) => Ok(text),
            _ => Err(self.bad(key, "a text")),
        }
    }

    pub(super) fn required(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<String, ConfigError> {
        if self.layers.get(key).is_none() {
            return Err(ConfigError::Missing {
                key,
                expected,
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
            _ => Err(self.bad(key, "true or false")),
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Result<T, ConfigError> {
        let number = match self.entry(key).raw {
            Raw::Integer(number) if range.contains(&number) => T::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| {
            let (min, max) = range.into_inner();
            self.bad(key, &format!("a whole number from {min} to {max}"))
        })
    }

    pub(super) fn milliseconds(&self, key: &str) -> Result<Duration, ConfigError> {
        self.number(key, 1..=DELAY_MS_MAX)
            .map(Duration::from_millis)
    }

    pub(super) fn bytes(&self, key: &str, min: u64) -> Result<usize, ConfigError> {
        let bytes = match self.entry(key).raw {
            Raw::Integer(number) => u64::try_from(number).ok(),
            Raw::Text(text) => parse_bytes(&text),
            _ => None,
        };
        bytes
            .filter(|bytes| (min..=SIZE_BYTES_MAX).contains(bytes))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or_else(|| {
                let range = format!("{min} bytes to {} GiB", SIZE_BYTES_MAX >> 30);
                self.bad(key, &format!("a size from {range}, such as \"8MiB\""))
            })
    }

    pub(super) fn parsed<T: FromStr>(&self, key: &str, expected: &str) -> Result<T, ConfigError> {
        self.text(key)?.parse().map_err(|_| self.bad(key, expected))
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
                path,
                source,
            }),
        }
    }

    pub(super) fn address(&self) -> Result<Address, ConfigError> {
        let expected = "a PostgreSQL URL such as postgres://relay@db/app";
        let (key, url) = if self.strongest(&[URL, URL_FILE])? == Some(URL_FILE) {
            (URL_FILE, self.file(URL_FILE)?.unwrap_or_default())
        } else if self.layers.get(URL).is_none() && Surroundings::of_process().name_a_server() {
            // The variables of libpq say it all.
            (URL, String::new())
        } else {
            (URL, self.required(URL, expected)?)
        };
        let mut address = Address::parse(&url)
            .map_err(|error| self.bad(key, &format!("{expected} ({error})")))?;
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
