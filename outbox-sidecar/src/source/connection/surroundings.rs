use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::unistd::{User, getuid};

/// Where Debian's libpq looks for `pg_service.conf` if `PGSYSCONFDIR` does not say otherwise.
const SYSTEM_DIRECTORY: &str = "/etc/postgresql-common";

/// What libpq looks at beside the URL: variables, and files in the home directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    variables: BTreeMap<String, String>,
    home: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let home = home.map(PathBuf::from).or_else(|| {
            let user = User::from_uid(getuid()).ok().flatten();
            user.map(|user| user.dir)
        });
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let value = value.into_string().ok()?;
            (name.starts_with("PG") && !value.is_empty()).then_some((name, value))
        });
        Self {
            variables: variables.collect(),
            home,
        }
    }

    /// Others, for a test.
    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)], home: &Path) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            variables: variables.iter().map(owned).collect(),
            home: Some(home.to_owned()),
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Whether a connection can do without a URL: a variable says where the server is.
    pub(crate) fn name_a_server(&self) -> bool {
        ["PGHOST", "PGHOSTADDR", "PGSERVICE"]
            .iter()
            .any(|name| self.variable(name).is_some())
    }

    /// A file in the home directory.
    pub(super) fn at_home(&self, name: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(name))
    }

    /// The places of `pg_service.conf`: the user's, unless another one was written, then the
    /// system's.
    pub(super) fn service_files(&self, written: Option<&str>) -> impl Iterator<Item = PathBuf> {
        let own = written
            .or(self.variable("PGSERVICEFILE"))
            .map(PathBuf::from);
        let own = own.or_else(|| self.at_home(".pg_service.conf"));
        let system = self.variable("PGSYSCONFDIR").unwrap_or(SYSTEM_DIRECTORY);
        let system = Path::new(system).join("pg_service.conf");
        own.into_iter().chain([system])
    }
}
