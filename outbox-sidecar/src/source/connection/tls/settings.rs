use std::path::PathBuf;

use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::source::connection::parameters::Parameters;
use crate::source::connection::ssl_mode::SslMode;
use crate::source::connection::{AddressError, Surroundings};

/// What the `ssl...` keywords say.
#[derive(Clone, Debug)]
pub(in crate::source::connection) struct TlsSettings {
    pub(in crate::source::connection) mode: SslMode,
    pub(super) roots: Roots,
    pub(super) certificate: Certificate,
    /// Where its key is.
    pub(super) key: Option<PathBuf>,
    /// TLS from the first byte on, without asking the server before.
    pub(super) is_direct: bool,
    /// Whether the server is told, unencrypted, which name we asked for.
    pub(super) names_server: bool,
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
}

/// Whom we believe that a server is who it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    /// The certificates in libpq's place, if there are any, and a home directory.
    Usual(Option<PathBuf>),
    /// The certificates of a file.
    File(PathBuf),
    /// All that the operating system trusts.
    System,
}

/// Where our certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Certificate {
    /// In libpq's place, if there is one, and a home directory.
    Usual(Option<PathBuf>),
    /// In a file.
    File(PathBuf),
}

/// libpq's versions: those before 1.2 are no floor, and no ceiling that we could keep.
const VERSIONS: [(&str, u8); 4] = [("TLSv1", 0), ("TLSv1.1", 1), ("TLSv1.2", 2), ("TLSv1.3", 3)];

static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static OLDER: &[&SupportedProtocolVersion] = &[&TLS12];
static NEWER: &[&SupportedProtocolVersion] = &[&TLS13];

impl TlsSettings {
    pub(in crate::source::connection) fn read(
        parameters: &Parameters,
        surroundings: &Surroundings,
    ) -> Result<Self, AddressError> {
        let usual = |name: &str| surroundings.at_home(&format!(".postgresql/{name}"));
        let modes = SslMode::ALL.map(|mode| (mode.as_str(), mode));
        let written = parameters.choice("sslmode", &modes)?;
        let roots = match parameters.get("sslrootcert") {
            None => Roots::Usual(usual("root.crt")),
            Some("system") => Roots::System,
            Some(file) => Roots::File(PathBuf::from(file)),
        };
        let mode = match (written, &roots) {
            (Some(SslMode::VerifyFull) | None, Roots::System) => SslMode::VerifyFull,
            (Some(mode), Roots::System) => return Err(AddressError::SystemRootsTooWeak(mode)),
            (mode, _) => mode.unwrap_or(SslMode::Prefer),
        };
        let negotiations = [("postgres", false), ("direct", true)];
        let is_direct = parameters.choice("sslnegotiation", &negotiations)?;
        let is_direct = is_direct.unwrap_or(false);
        if is_direct && !mode.demands_tls() {
            return Err(AddressError::DirectTooWeak(mode));
        }
        let path = |keyword| parameters.get(keyword).map(PathBuf::from);
        let names_server = parameters.choice("sslsni", &[("0", false), ("1", true)])?;
        Ok(Self {
            mode,
            roots,
            certificate: match path("sslcert") {
                Some(file) => Certificate::File(file),
                None => Certificate::Usual(usual("postgresql.crt")),
            },
            key: path("sslkey").or_else(|| usual("postgresql.key")),
            is_direct,
            names_server: names_server.unwrap_or(true),
            versions: versions(parameters)?,
        })
    }
}

fn versions(
    parameters: &Parameters,
) -> Result<&'static [&'static SupportedProtocolVersion], AddressError> {
    let lowest = parameters.choice("ssl_min_protocol_version", &VERSIONS)?;
    let highest = parameters.choice("ssl_max_protocol_version", &VERSIONS)?;
    match (lowest.unwrap_or(2), highest.unwrap_or(3)) {
        (0..=2, 3) => Ok(BOTH),
        (0..=2, 2) => Ok(OLDER),
        (3, 3) => Ok(NEWER),
        (3, _) => {
            let expected = "at most ssl_max_protocol_version";
            Err(parameters.bad("ssl_min_protocol_version", expected))
        }
        _ => Err(parameters.bad("ssl_max_protocol_version", "TLSv1.2 or TLSv1.3")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<TlsSettings, AddressError> {
        let surroundings = Surroundings::default();
        TlsSettings::read(&Parameters::read(text, &surroundings)?, &surroundings)
    }

    #[test]
    fn the_systems_roots_come_with_the_strictest_mode() {
        let system = settings("sslrootcert=system").unwrap();
        assert_eq!(
            (system.mode, system.roots),
            (SslMode::VerifyFull, Roots::System)
        );
        assert!(settings("sslrootcert=system sslmode=verify-ca").is_err());
        let file = settings("sslrootcert=/ca.pem").unwrap();
        assert_eq!(file.mode, SslMode::Prefer);
        assert_eq!(file.roots, Roots::File(PathBuf::from("/ca.pem")));
    }

    #[test]
    fn versions_are_a_range_of_those_that_exist() {
        let count = |text: &str| settings(text).map(|settings| settings.versions.len());
        assert_eq!(count("").unwrap(), 2);
        assert_eq!(count("ssl_min_protocol_version=TLSv1").unwrap(), 2);
        assert_eq!(count("ssl_min_protocol_version=TLSv1.3").unwrap(), 1);
        assert_eq!(count("ssl_max_protocol_version=TLSv1.2").unwrap(), 1);
        assert!(count("ssl_max_protocol_version=TLSv1.1").is_err());
        assert!(
            count("ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2").is_err()
        );
        assert!(count("ssl_min_protocol_version=SSLv3").is_err());
    }
}
