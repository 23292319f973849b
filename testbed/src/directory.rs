//! The directory that a server lives in.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;

use crate::error::Error;
use crate::supervised::supervisor;
use crate::unique;
use crate::user::ServerUser;

/// Names another place for the directories of servers; unprivileged users must reach it.
const PLACE_VARIABLE: &str = "OUTBOX_TESTBED_RUN";
/// What must be free where the directories lie: servers that run out of it end in the middle of whatever
/// test is there, and take all others with them.
const FREE_MIN_GIB: u64 = 2;
const GIB: u64 = 1 << 30;

/// A fresh directory, deleted when dropped, or by the supervisor when nobody drops it.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Makes a directory that belongs to `user`. Its path is short: that of a PostgreSQL socket in
    /// it is limited to about 100 characters.
    pub(crate) fn create(prefix: &str, user: Option<ServerUser>) -> Result<Self, Error> {
        let place = place();
        room(&place, FREE_MIN_GIB)?;
        let path = place.join(unique::name(&format!("outbox-{prefix}")));
        let fail = || format!("{} cannot be made", path.display());
        supervisor()?.own(&path)?;
        std::fs::create_dir_all(&path).map_err(Error::because(fail()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .map_err(Error::because(fail()))?;
        if let Some(user) = user {
            user.give(&path)?;
        }
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if let Ok(supervisor) = supervisor() {
            // What cannot be deleted now is tried again when the supervisor ends, and named there.
            let _ = supervisor.delete(&self.path);
        }
    }
}

/// Root's TMPDIR may lie in a private home, where the servers' user cannot go.
fn place() -> PathBuf {
    match std::env::var_os(PLACE_VARIABLE) {
        Some(place) => PathBuf::from(place),
        None if Uid::effective().is_root() => PathBuf::from("/tmp"),
        None => std::env::temp_dir(),
    }
}

/// Fails when less is free there.
fn room(place: &Path, min_gib: u64) -> Result<(), Error> {
    let place_name = place.display();
    let found =
        statvfs(place).map_err(Error::because(format!("{place_name} cannot be looked at")))?;
    let free_gib = found
        .blocks_available()
        .saturating_mul(found.fragment_size())
        / GIB;
    if free_gib >= min_gib {
        return Ok(());
    }
    Err(Error::new(format!(
        "{free_gib} GiB are free in {place_name}, where servers keep their files, and they need {min_gib}: \
         make room there, or name another place in {PLACE_VARIABLE}"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_place_without_room_is_named_with_what_to_do() {
        room(Path::new("/"), 0).unwrap();
        let error = room(Path::new("/"), u64::MAX).unwrap_err().to_string();
        assert!(
            error.contains("make room there, or name another place"),
            "{error}"
        );
        let error = room(Path::new("/no/such/place"), 0)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/no/such/place cannot be looked at"),
            "{error}"
        );
    }
}
