//! PostgreSQL: the Zonky distribution from Maven Central.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::provision::{cache, command, maven};

const POM: &str = include_str!("postgres-pom.xml");
const VERSION_VARIABLE: &str = "OUTBOX_TEST_POSTGRES_VERSION";
const BIN_VARIABLE: &str = "OUTBOX_TEST_POSTGRES_BIN";

/// A major version of PostgreSQL that the test bed can fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PostgresVersion {
    /// PostgreSQL 14, which is too old for a relay: for what says so.
    V14,
    /// PostgreSQL 15.
    V15,
    /// PostgreSQL 16.
    V16,
    /// PostgreSQL 17, the default.
    #[default]
    V17,
    /// PostgreSQL 18.
    V18,
}

impl PostgresVersion {
    /// All that a relay can read from, oldest first.
    pub const ALL: [Self; 4] = [Self::V15, Self::V16, Self::V17, Self::V18];

    /// The major version's number.
    #[must_use]
    pub fn major(self) -> u32 {
        match self {
            Self::V14 => 14,
            Self::V15 => 15,
            Self::V16 => 16,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }

    /// The version named by `OUTBOX_TEST_POSTGRES_VERSION` ("18", "18.6"), else the default.
    ///
    /// # Errors
    /// When the variable names a version that is not pinned here.
    pub fn from_environment() -> Result<Self, Error> {
        let Ok(text) = std::env::var(VERSION_VARIABLE) else {
            return Ok(Self::default());
        };
        let platform = Platform::current()?;
        let named = |version: &Self| {
            let pinned = version.pinned(platform);
            text == version.major().to_string() || pinned.strip_suffix(".0") == Some(&text)
        };
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.map(|version| version.pinned(platform)).to_vec();
            Error::new(format!(
                "{VERSION_VARIABLE}={text} is not pinned; use 15, 16, 17 or 18 ({})",
                known.join(", ")
            ))
        })
    }

    /// The newest minor version differs from platform to platform.
    fn pinned(self, platform: Platform) -> &'static str {
        match (self, platform) {
            (Self::V14, _) => "14.24.0",
            (Self::V15, _) => "15.19.0",
            (Self::V16, _) => "16.15.0",
            (Self::V17, _) => "17.11.0",
            (Self::V18, Platform::LinuxAmd64 | Platform::DarwinAmd64) => "18.6.0",
            (Self::V18, Platform::LinuxArm64 | Platform::DarwinArm64) => "18.4.0",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Platform {
    LinuxAmd64,
    LinuxArm64,
    DarwinAmd64,
    DarwinArm64,
}

impl Platform {
    fn current() -> Result<Self, Error> {
        match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => Ok(Self::LinuxAmd64),
            ("linux", "aarch64") => Ok(Self::LinuxArm64),
            ("macos", "x86_64") => Ok(Self::DarwinAmd64),
            ("macos", "aarch64") => Ok(Self::DarwinArm64),
            (system, processor) => Err(Error::new(format!(
                "no PostgreSQL is pinned for {system} on {processor}; name the bin directory of \
                 an installed server in {BIN_VARIABLE}"
            ))),
        }
    }

    fn artifact(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "linux-amd64",
            Self::LinuxArm64 => "linux-arm64v8",
            Self::DarwinAmd64 => "darwin-amd64",
            Self::DarwinArm64 => "darwin-arm64v8",
        }
    }
}

/// Where the programs of a PostgreSQL server are.
#[derive(Debug, Clone)]
pub struct PostgresInstallation {
    bin: PathBuf,
}

impl PostgresInstallation {
    /// The path of `initdb`, `postgres` or `pg_ctl`; the fetched distribution has no others.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// The server's programs: those in the directory named by `OUTBOX_TEST_POSTGRES_BIN`, else the
/// pinned distribution of `version`, fetched when the cache does not hold it. Blocks.
///
/// # Errors
/// When a program is missing (the error names its package) or the fetch fails.
pub fn postgres(version: PostgresVersion) -> Result<PostgresInstallation, Error> {
    if let Some(bin) = std::env::var_os(BIN_VARIABLE).map(PathBuf::from) {
        if !bin.join("postgres").is_file() {
            return Err(Error::new(format!(
                "{BIN_VARIABLE}: no postgres in {}",
                bin.display()
            )));
        }
        return Ok(PostgresInstallation { bin });
    }
    let platform = Platform::current()?;
    let number = version.pinned(platform);
    let artifact = platform.artifact();
    let name = format!(
        "postgresql-{number}-{artifact}-{:08x}",
        maven::pom_hash(POM)
    );
    let entry = cache::entry(&name, |folder| fetch(folder, number, artifact))?;
    Ok(PostgresInstallation {
        bin: entry.join("bin"),
    })
}

/// The artifact is a jar (a zip) that holds one archive of the server.
fn fetch(folder: &Path, number: &str, artifact: &str) -> Result<(), Error> {
    let unzip = command::require("unzip", "unzip")?;
    let tar = command::require("tar", "tar")?;
    command::require("xz", "xz-utils")?;
    let properties = [
        ("postgres.version", number),
        ("postgres.platform", artifact),
    ];
    maven::copy_dependencies(POM, &properties, folder)?;
    let jar = with_extension(folder, "jar")?;
    command::run(&unzip, &["-q", &jar.to_string_lossy(), "*.txz"], folder)?;
    let archive = with_extension(folder, "txz")?;
    command::run(&tar, &["-xJf", &archive.to_string_lossy()], folder)?;
    for file in [jar, archive] {
        fs::remove_file(&file).map_err(Error::because(format!(
            "{} cannot be removed",
            file.display()
        )))?;
    }
    Ok(())
}

fn with_extension(folder: &Path, extension: &str) -> Result<PathBuf, Error> {
    let files = fs::read_dir(folder).map_err(Error::because(format!(
        "{} cannot be read",
        folder.display()
    )))?;
    files
        .flatten()
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .ok_or_else(|| Error::new(format!("no .{extension} file in {}", folder.display())))
}
