//! Apache Kafka: its jars from Maven Central, run by the installed Java.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::provision::{cache, command, maven};

/// Pins the version. The full set of dependencies: a smaller one starts, says so, and then fails
/// at the first thing that needs what is missing.
const POM: &str = include_str!("kafka-pom.xml");
const VERSION: &str = "4.3.1";

/// Where Kafka's jars and Java are.
#[derive(Debug, Clone)]
pub struct KafkaInstallation {
    jars: PathBuf,
    java: PathBuf,
}

impl KafkaInstallation {
    /// The Java class path of the broker and its tools.
    #[must_use]
    pub fn class_path(&self) -> String {
        format!("{}/*", self.jars.display())
    }

    /// The program `java`.
    #[must_use]
    pub fn java(&self) -> &Path {
        &self.java
    }
}

/// The pinned Kafka, fetched when the cache does not hold it. Blocks.
///
/// # Errors
/// When Java or Maven is missing (the error names its package) or the fetch fails.
pub fn kafka() -> Result<KafkaInstallation, Error> {
    let java = java()?;
    let name = format!("kafka-{VERSION}-{:08x}", maven::pom_hash(POM));
    let jars = cache::entry(&name, |folder| maven::copy_dependencies(POM, &[], folder))?;
    Ok(KafkaInstallation { jars, java })
}

fn java() -> Result<PathBuf, Error> {
    let of_home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    match of_home.filter(|java| java.is_file()) {
        Some(java) => Ok(java),
        None => command::require("java", "openjdk-17-jre-headless"),
    }
}
