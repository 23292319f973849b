//! Where the supervisor's binary is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;

const NAME: &str = "testbed-supervisor";

/// The binary beside the running executable's target folder, if one was built.
pub(crate) fn existing() -> Option<PathBuf> {
    let binary = profile_directory()?.join(NAME);
    binary.is_file().then_some(binary)
}

/// Builds the binary with cargo, into the target folder of the running executable.
pub(crate) fn build() -> Result<PathBuf, Error> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let workspace = workspace.ok_or_else(|| Error::new("the workspace has no folder"))?;
    let profile_directory =
        profile_directory().unwrap_or_else(|| workspace.join("target").join("debug"));
    let target_directory = profile_directory.parent().unwrap_or(&profile_directory);
    let release = profile_directory
        .file_name()
        .is_some_and(|name| name == "release");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(&cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            NAME,
            "--bin",
            NAME,
            "--target-dir",
        ])
        .arg(target_directory)
        .args(release.then_some("--release"))
        .current_dir(workspace)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io(format!("{cargo} cannot be started to build {NAME}"), error))?;
    let binary = profile_directory.join(NAME);
    if output.status.success() && binary.is_file() {
        return Ok(binary);
    }
    Err(Error::new(format!(
        "{NAME} cannot be built; run `cargo build -p {NAME}` to see why:\n{}",
        String::from_utf8_lossy(&output.stderr)
    )))
}

/// `target/debug` or `target/release`, from an executable there or in `deps` or `examples` below.
fn profile_directory() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let directory = executable.parent()?;
    let inner = directory
        .file_name()
        .is_some_and(|name| name == "deps" || name == "examples");
    let directory = if inner {
        directory.parent()?
    } else {
        directory
    };
    // A documentation test runs from a temporary folder: there is nothing beside it.
    directory
        .join("deps")
        .is_dir()
        .then(|| directory.to_owned())
}
