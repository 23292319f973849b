use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::authentication::{ChannelBindingMode, Credentials, Login};
use super::host::hosts;
use super::parameters::Parameters;
use super::password_file::password;
use super::socket::Liveness;
use super::tls::TlsSettings;
use super::{AddressError, HostAddress, Socket, Surroundings};

/// The longest one address may take to accept a connection, and a server to let us in, unless
/// `connect_timeout` says otherwise.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Where PostgreSQL is and who we are there, as a libpq URL or keyword string says.
#[derive(Clone)]
pub(crate) struct Address {
    hosts: Vec<HostAddress>,
    user: String,
    database: String,
    password: Option<String>,
    /// A file that holds the password and nothing else.
    password_file: Option<PathBuf>,
    /// libpq's file of passwords for servers.
    passwords: Option<PathBuf>,
    options: String,
    answer_max: Duration,
    channel_binding: ChannelBindingMode,
    pub(super) liveness: Liveness,
    pub(super) tls: TlsSettings,
}

impl Address {
    /// Reads a libpq URL or keyword string. What it leaves open, a service and the variables of
    /// this process say.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        Self::read(text, &Surroundings::of_process())
    }

    pub(super) fn read(text: &str, surroundings: &Surroundings) -> Result<Self, AddressError> {
        let parameters = Parameters::read(text, surroundings)?;
        let hosts = hosts(&parameters)?;
        // Of several hosts the primary is meant, for SQL as for replication.
        let standby = ["read-only", "standby", "prefer-standby"].map(|name| (name, Some(name)));
        let primary = ["any", "read-write", "primary"].map(|name| (name, None));
        let wanted: Vec<_> = primary.into_iter().chain(standby).collect();
        if let Some(Some(standby)) = parameters.choice("target_session_attrs", &wanted)? {
            return Err(AddressError::StandbyWanted(standby));
        }
        let binding = parameters.choice("channel_binding", &ChannelBindingMode::CHOICES)?;
        Ok(Self {
            hosts,
            user: parameters.required("user")?,
            database: parameters.required("dbname")?,
            password: parameters.get("password").map(str::to_owned),
            password_file: None,
            passwords: parameters
                .get("passfile")
                .map(PathBuf::from)
                .or_else(|| surroundings.at_home(".pgpass")),
            options: parameters.get("options").unwrap_or_default().to_owned(),
            answer_max: parameters
                .seconds("connect_timeout")?
                .unwrap_or(CONNECT_MAX),
            channel_binding: binding.unwrap_or_default(),
            liveness: Liveness::read(&parameters)?,
            tls: TlsSettings::read(&parameters, surroundings)?,
        })
    }

    /// Replaces the password by the content of a file, which is read anew for each connection: a
    /// secret that is rotated needs no restart.
    pub(crate) fn set_password_file(&mut self, file: PathBuf) {
        self.password_file = Some(file);
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Who we are for a server that we have reached, with the password as it is at present.
    pub(crate) fn login(&self, host: &HostAddress, socket: &Socket) -> Login {
        Login {
            credentials: Credentials {
                user: self.user.clone(),
                password: self.password(host),
                channel_binding: self.channel_binding,
            },
            channel: socket.channel(),
        }
    }

    fn password(&self, host: &HostAddress) -> Option<Vec<u8>> {
        let Some(file) = &self.password_file else {
            return match (&self.password, &self.passwords) {
                (Some(password), _) => Some(password.clone().into_bytes()),
                (None, Some(file)) => password(file, host, &self.database, &self.user),
                (None, None) => None,
            };
        };
        match std::fs::read_to_string(file) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec()),
            Err(error) => {
                // The server's refusal is what the relay acts upon.
                tracing::warn!(file = %file.display(), %error, "the password file cannot be read");
                None
            }
        }
    }

    /// Settings for the session, as `options` of the URL gives them.
    pub(crate) fn options(&self) -> &str {
        &self.options
    }

    /// The hosts to try, in their order.
    pub(crate) fn hosts(&self) -> &[HostAddress] {
        &self.hosts
    }

    /// The longest an address may take to accept a connection, and a server to let us in.
    pub(crate) const fn answer_max(&self) -> Duration {
        self.answer_max
    }
}

/// Without the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("hosts", &self.hosts)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_of_tls_is_read() {
        for mode in [
            "disable",
            "allow",
            "prefer",
            "require",
            "verify-ca",
            "verify-full",
        ] {
            let url = format!("postgres://u@h:1/db?sslmode={mode}&connect_timeout=3");
            assert_eq!(Address::parse(&url).unwrap().tls.mode.as_str(), mode);
        }
        let default = Address::parse("host=/tmp user=u dbname=d").unwrap();
        assert_eq!(default.tls.mode.as_str(), "prefer");
        assert_eq!(default.answer_max(), CONNECT_MAX);
    }

    #[test]
    fn a_mistake_is_named_with_what_to_do() {
        for (text, said) in [
            ("postgres://u@h", "names no database"),
            ("host=h dbname=d", "names no user"),
            ("user=u dbname=d", "names no host"),
            ("not a url", "not a PostgreSQL URL"),
            ("service=nowhere", "there is no service nowhere in"),
            (
                "postgres://u@h/d?sslmode=verify",
                "sslmode of the PostgreSQL URL must be one of disable",
            ),
            (
                "postgres://u@h/d?sslmode=require&sslrootcert=system",
                "needs sslmode=verify-full",
            ),
            (
                "postgres://u@h/d?sslnegotiation=direct",
                "sslnegotiation=direct needs sslmode=require",
            ),
            (
                "postgres://u@h/d?target_session_attrs=standby",
                "asks for a standby",
            ),
            (
                "postgres://u@h/d?channel_binding=yes",
                "one of disable, prefer, require",
            ),
            (
                "postgres://u@h/d?connect_timeout=soon",
                "a whole number of seconds",
            ),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let address = Address::parse("postgres://u:canary@h/d").unwrap();
        let host = address.hosts().first().unwrap();
        assert_eq!(address.password(host).unwrap(), b"canary");
        assert!(!format!("{address:?}").contains("canary"));
    }

    #[test]
    fn the_strongest_password_is_taken_and_files_are_read_anew() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".pgpass");
        let set = |text: &str, mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let read = |text: &str, variables: &[(&str, &str)]| {
            Address::read(text, &Surroundings::of(variables, home.path())).unwrap()
        };
        let password = |address: &Address| {
            let password = address.password(address.hosts().first().unwrap());
            password.map(|password| String::from_utf8(password).unwrap())
        };
        let address = read("postgres://u@h/d", &[]);
        assert_eq!(password(&address), None);
        set("h:5432:d:u:first", 0o600);
        assert_eq!(password(&address).as_deref(), Some("first"));
        set("h:5432:d:u:second", 0o600);
        assert_eq!(password(&address).as_deref(), Some("second"));
        set("h:5432:d:u:second", 0o640);
        assert_eq!(password(&address), None);

        set("*:*:*:*:file", 0o600);
        let variable = [("PGPASSWORD", "variable")];
        let address = read("postgres://u@h/d", &variable);
        assert_eq!(password(&address).as_deref(), Some("variable"));
        let mut address = read("postgres://u:url@h/d", &variable);
        assert_eq!(password(&address).as_deref(), Some("url"));
        let own = home.path().join("own");
        std::fs::write(&own, "own\n").unwrap();
        address.set_password_file(own);
        assert_eq!(password(&address).as_deref(), Some("own"));

        let other = home.path().join("other");
        std::fs::rename(&file, &other).unwrap();
        let passfile = format!("host=h user=u dbname=d passfile={}", other.display());
        assert_eq!(password(&read(&passfile, &[])).as_deref(), Some("file"));
        let other = other.display().to_string();
        let address = read("host=h user=u dbname=d", &[("PGPASSFILE", other.as_str())]);
        assert_eq!(password(&address).as_deref(), Some("file"));
    }
}
