use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::keywords::KEYWORDS;
use super::keywords::Treatment::{self, PassedOver, Read, Refused};
use super::{AddressError, Surroundings, conninfo, service};

/// The settings of a connection, by libpq's keywords. An empty value counts as none.
#[derive(Default)]
pub(super) struct Parameters {
    values: BTreeMap<&'static str, Parameter>,
}

/// A value and where it was written.
struct Parameter {
    value: String,
    origin: Origin,
}

/// Where a setting was written, the strongest place first.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Url,
    Service(String),
    Variable(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("the PostgreSQL URL"),
            Self::Service(service) => write!(f, "the service {service}"),
            Self::Variable(name) => write!(f, "the variable {name}"),
        }
    }
}

impl Parameters {
    /// What a URL or keyword string says, then the service that it names, then the variables.
    pub(super) fn read(text: &str, surroundings: &Surroundings) -> Result<Self, AddressError> {
        let mut parameters = Self::default();
        let mut written = Self::default();
        written.add_all(conninfo::read(text)?, &Origin::Url)?;
        let service = written
            .get("service")
            .or(surroundings.variable("PGSERVICE"));
        if let Some(service) = service {
            let files = surroundings.service_files(written.get("servicefile"));
            let settings = service::settings(service, files)?;
            parameters.add_all(settings, &Origin::Service(service.to_owned()))?;
        }
        parameters.values.extend(written.values);
        for (keyword, treatment, variable) in KEYWORDS {
            let variable = variable.as_ref();
            let value = variable.and_then(|variable| surroundings.variable(variable));
            if let (Some(variable), Some(value)) = (variable, value)
                && !parameters.values.contains_key(keyword)
            {
                let origin = Origin::Variable(variable);
                parameters.add(keyword, *treatment, value.to_owned(), &origin)?;
            }
        }
        Ok(parameters)
    }

    fn add_all(
        &mut self,
        settings: Vec<(String, String)>,
        origin: &Origin,
    ) -> Result<(), AddressError> {
        for (number, (keyword, value)) in settings.into_iter().enumerate() {
            let known = KEYWORDS.iter().find(|(known, ..)| *known == keyword);
            let (keyword, treatment, _) = known.ok_or_else(|| AddressError::Unknown {
                number: number + 1,
                origin: origin.to_string(),
            })?;
            self.add(keyword, *treatment, value, origin)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        keyword: &'static str,
        treatment: Treatment,
        value: String,
        origin: &Origin,
    ) -> Result<(), AddressError> {
        match treatment {
            Refused(harmless) if !harmless.contains(&value.as_str()) && !value.is_empty() => {
                return Err(AddressError::Unavailable {
                    keyword,
                    origin: origin.to_string(),
                });
            }
            Read if value.is_empty() => {
                self.values.remove(keyword);
            }
            Read => {
                let origin = origin.clone();
                self.values.insert(keyword, Parameter { value, origin });
            }
            Refused(_) | PassedOver => {}
        }
        Ok(())
    }

    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        let parameter = self.values.get(keyword);
        parameter.map(|parameter| parameter.value.as_str())
    }

    /// What is wrong with the value of a keyword.
    pub(super) fn bad(&self, keyword: &'static str, expected: impl Into<String>) -> AddressError {
        let origin = self.values.get(keyword).map(|parameter| &parameter.origin);
        AddressError::Value {
            keyword,
            origin: origin.unwrap_or(&Origin::Url).to_string(),
            expected: expected.into(),
        }
    }

    pub(super) fn required(&self, keyword: &'static str) -> Result<String, AddressError> {
        let value = self.get(keyword).map(str::to_owned);
        value.ok_or(AddressError::Missing(match keyword {
            "dbname" => "database",
            keyword => keyword,
        }))
    }

    /// A value of a few; none where it is not set.
    pub(super) fn choice<T: Copy>(
        &self,
        keyword: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, AddressError> {
        let Some(value) = self.get(keyword) else {
            return Ok(None);
        };
        let chosen = choices.iter().find(|(name, _)| *name == value);
        chosen.map(|(_, choice)| Some(*choice)).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.bad(keyword, format!("one of {}", names.join(", ")))
        })
    }

    pub(super) fn number<T: FromStr>(
        &self,
        keyword: &'static str,
        expected: &str,
    ) -> Result<Option<T>, AddressError> {
        let value = self.get(keyword).map(|value| value.trim().parse());
        value.transpose().map_err(|_| self.bad(keyword, expected))
    }

    /// Whole seconds; zero and less stand for the default.
    pub(super) fn seconds(&self, keyword: &'static str) -> Result<Option<Duration>, AddressError> {
        let seconds = self.number::<i32>(keyword, "a whole number of seconds")?;
        Ok(seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs))
    }

    /// The entries of a list such as `host`; none where it is not set.
    pub(super) fn list(&self, keyword: &str) -> Vec<&str> {
        let value = self.get(keyword);
        value.map_or_else(Vec::new, |value| value.split(',').map(str::trim).collect())
    }
}

/// Without the values: one of them is a password.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<Parameters, AddressError> {
        Parameters::read(text, &Surroundings::default())
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_by_name() {
        assert!(read("gssencmode=prefer sslcrl='' application_name=x").is_ok());
        for (text, said) in [
            ("sslcrl=/x", "sslcrl of the PostgreSQL URL"),
            ("host=h gssencmode=require", "gssencmode"),
            ("user=u require_auth=scram-sha-256", "require_auth"),
            ("user=u canary=x", "keyword 2 of the PostgreSQL URL"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
        let variables = [("PGREQUIREAUTH", "scram-sha-256")];
        let surroundings = Surroundings::of(&variables, Path::new("/nowhere"));
        let error = Parameters::read("", &surroundings).unwrap_err().to_string();
        assert!(error.contains("the variable PGREQUIREAUTH"), "{error}");
    }

    #[test]
    fn the_last_of_a_keyword_wins_and_an_empty_value_is_none() {
        let parameters = read("host=a host=b user=u user='' port=' 1'").unwrap();
        assert_eq!(parameters.get("host"), Some("b"));
        assert_eq!(parameters.get("user"), None);
        assert_eq!(parameters.number("port", "a port").unwrap(), Some(1u16));
        assert!(!format!("{parameters:?}").contains('b'));
    }

    #[test]
    fn the_url_wins_over_the_service_and_that_over_the_variables() {
        let home = tempfile::tempdir().unwrap();
        let services = "[app]\nhost=service\nport=2\n[other]\nhost=other\n";
        std::fs::write(home.path().join(".pg_service.conf"), services).unwrap();
        let variables = [
            ("PGSERVICE", "other"),
            ("PGHOST", "variable"),
            ("PGPORT", "3"),
            ("PGUSER", "variable"),
            ("PGDATABASE", "variable"),
        ];
        let surroundings = Surroundings::of(&variables, home.path());
        let all = |text: &str| {
            let read = Parameters::read(text, &surroundings).unwrap();
            let keywords = ["host", "port", "user", "dbname"];
            keywords.map(|keyword| read.get(keyword).unwrap().to_owned())
        };
        assert_eq!(
            all("postgres://u@/d?service=app"),
            ["service", "2", "u", "d"]
        );
        assert_eq!(
            all("host=url service=app"),
            ["url", "2", "variable", "variable"]
        );
        assert_eq!(all(""), ["other", "3", "variable", "variable"]);
        let none = Parameters::read("service=none", &surroundings).unwrap_err();
        let none = none.to_string();
        assert!(none.contains("no service none in"), "{none}");
        assert!(none.contains(".pg_service.conf and "), "{none}");

        // Another place for the file, and whose mistake it is.
        let elsewhere = home.path().join("elsewhere");
        std::fs::write(&elsewhere, "[app]\nsslmode=on\n").unwrap();
        let elsewhere = elsewhere.display().to_string();
        let variables = [("PGSERVICEFILE", elsewhere.as_str()), ("PGPORT", "x")];
        let surroundings = Surroundings::of(&variables, home.path());
        let named = format!("service=app servicefile={elsewhere}");
        let named = Parameters::read(&named, &Surroundings::default()).unwrap();
        assert_eq!(named.get("sslmode"), Some("on"));
        let read = Parameters::read("service=app", &surroundings).unwrap();
        let mode = read
            .choice("sslmode", &[("disable", ())])
            .unwrap_err()
            .to_string();
        assert!(
            mode.starts_with("sslmode of the service app must be"),
            "{mode}"
        );
        let port = read
            .number::<u16>("port", "a number")
            .unwrap_err()
            .to_string();
        assert!(
            port.starts_with("port of the variable PGPORT must be"),
            "{port}"
        );
    }
}
