//! The system's packages that building and testing need.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::run::{Runner, say};

/// What is looked for, and the package of Debian and Ubuntu that brings it.
const NEEDED: [(Need, &str); 12] = [
    (Need::Program("cc"), "gcc"),
    (Need::Program("make"), "make"),
    (Need::Program("pkg-config"), "pkg-config"),
    (Need::Openssl, "libssl-dev"),
    (Need::Java, "openjdk-17-jre-headless"),
    (Need::Program("mvn"), "maven"),
    (Need::Program("unzip"), "unzip"),
    (Need::Program("tar"), "tar"),
    (Need::Program("xz"), "xz-utils"),
    (Need::Program("pg_recvlogical"), "postgresql-client"),
    (Need::RabbitMq, "rabbitmq-server"),
    (Need::File("/usr/sbin/pgbouncer"), "pgbouncer"),
];

/// What installing RabbitMQ 4 needs besides.
const NEEDED_FOR_RABBITMQ_4: [(Need, &str); 2] = [
    (Need::Program("debootstrap"), "debootstrap"),
    (
        Need::File("/usr/share/keyrings/debian-archive-keyring.gpg"),
        "debian-archive-keyring",
    ),
];

#[derive(Debug, Clone, Copy)]
enum Need {
    Program(&'static str),
    File(&'static str),
    Java,
    Openssl,
    RabbitMq,
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            // Debian keeps the versions of PostgreSQL's programs out of PATH.
            Self::Program("pg_recvlogical") => {
                in_path("pg_recvlogical") || Path::new("/usr/lib/postgresql").is_dir()
            }
            Self::Program(program) => in_path(program),
            Self::File(path) => Path::new(path).is_file(),
            Self::Java => std::env::var_os("JAVA_HOME").is_some() || in_path("java"),
            // Its wrappers in PATH may not be run by everyone, and are not used.
            Self::RabbitMq => Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").is_file(),
            Self::Openssl => {
                std::env::var_os("OPENSSL_DIR").is_some() || pkg_config_knows("openssl")
            }
        }
    }
}

/// Installs what is missing, when we are root and apt-get is there; else names the command.
pub(crate) fn ensure(runner: &Runner) -> Result<(), Failure> {
    install(runner, &missing(&NEEDED))
}

/// As [`ensure`], what installing RabbitMQ 4 needs.
pub(crate) fn ensure_for_rabbitmq_4(runner: &Runner) -> Result<(), Failure> {
    install(runner, &missing(&NEEDED_FOR_RABBITMQ_4))
}

fn install(runner: &Runner, missing: &[&str]) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("missing: {}", missing.join(" ")));
    let install = [&["install", "--yes", "--no-install-recommends"], missing].concat();
    let command = format!("apt-get {}", install.join(" "));
    if !in_path("apt-get") {
        return Err(Failure::new(format!(
            "install the programs of these packages of Debian: {}",
            missing.join(" ")
        )));
    }
    if !is_root() {
        return Err(Failure::new(format!("run this first: sudo {command}")));
    }
    let quiet = [("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())];
    let installed = runner
        .run("apt-get", &["update"], &quiet)
        .and_then(|()| runner.run("apt-get", &install, &quiet));
    installed
        .map_err(|failure| Failure::new(format!("{failure}; this must succeed first: {command}")))
}

fn missing(needed: &[(Need, &'static str)]) -> Vec<&'static str> {
    needed
        .iter()
        .filter(|(need, _)| !need.is_met())
        .map(|(_, package)| *package)
        .collect()
}

/// Whether PATH holds the program.
pub(crate) fn in_path(program: &str) -> bool {
    let executable = |file: &Path| {
        file.metadata()
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| executable(&folder.join(program)))
}

fn pkg_config_knows(library: &str) -> bool {
    let known = Command::new("pkg-config")
        .args(["--exists", library])
        .status();
    known.is_ok_and(|status| status.success())
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    let answer = Command::new("id").arg("-u").output();
    answer.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
