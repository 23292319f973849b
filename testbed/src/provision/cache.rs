//! One cache for everything fetched.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::error::Error;

const PLACE_VARIABLE: &str = "OUTBOX_TESTBED_CACHE";

/// The entry of this name, made by `fill` when it is not there yet.
///
/// `fill` gets an empty folder beside the entry; it becomes the entry once `fill` has succeeded.
pub(super) fn entry(
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let place = place()?;
    let entry = place.join(name);
    if entry.is_dir() {
        return Ok(entry);
    }
    let fail = || format!("{} cannot be filled", entry.display());
    std::fs::create_dir_all(&place).map_err(Error::because(fail()))?;
    std::fs::set_permissions(&place, Permissions::from_mode(0o755))
        .map_err(Error::because(fail()))?;
    let lock = File::create(place.join(format!("{name}.lock"))).map_err(Error::because(fail()))?;
    lock.lock().map_err(Error::because(fail()))?;
    if entry.is_dir() {
        return Ok(entry);
    }
    let aside = place.join(format!("{name}.partial"));
    // Left behind by a run that was killed; the lock says that nobody is using it.
    if aside.exists() {
        std::fs::remove_dir_all(&aside).map_err(Error::because(fail()))?;
    }
    std::fs::create_dir(&aside).map_err(Error::because(fail()))?;
    fill(&aside)?;
    make_readable(&aside).map_err(Error::because(fail()))?;
    std::fs::rename(&aside, &entry).map_err(Error::because(fail()))?;
    Ok(entry)
}

fn place() -> Result<PathBuf, Error> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(place) = variable(PLACE_VARIABLE) {
        return std::path::absolute(PathBuf::from(place))
            .map_err(Error::because(format!("{PLACE_VARIABLE} is not usable")));
    }
    if Uid::effective().is_root() {
        return Ok(PathBuf::from("/var/cache/outbox-testbed"));
    }
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    base.map(|base| base.join("outbox-testbed")).ok_or_else(|| {
        Error::new(format!(
            "HOME is not set; name a folder in {PLACE_VARIABLE}"
        ))
    })
}

/// Whatever root's umask is: the servers' user must read it all.
fn make_readable(path: &Path) -> std::io::Result<()> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.permissions().mode();
    let execute = if metadata.is_dir() || mode & 0o100 != 0 {
        0o111
    } else {
        0
    };
    std::fs::set_permissions(path, Permissions::from_mode(mode | 0o444 | execute))?;
    if metadata.is_dir() {
        for child in std::fs::read_dir(path)? {
            make_readable(&child?.path())?;
        }
    }
    Ok(())
}
