//! The directory that a server lives in.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::error::Error;
use crate::supervised::supervisor;
use crate::unique;
use crate::user::ServerUser;

/// Names another place for the directories of servers; unprivileged users must reach it.
const PLACE_VARIABLE: &str = "OUTBOX_TESTBED_RUN";

/// A fresh directory, deleted when dropped, or by the supervisor when nobody drops it.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Makes a directory that belongs to `user`. Its path is short: that of a PostgreSQL socket in
    /// it is limited to about 100 characters.
    pub(crate) fn create(prefix: &str, user: Option<ServerUser>) -> Result<Self, Error> {
        let path = place().join(unique::name(&format!("outbox-{prefix}")));
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
