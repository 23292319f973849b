//! The user that servers run as.

use std::path::Path;

use nix::unistd::{Gid, Uid, User, chown};

use crate::error::Error;

/// An unprivileged user: PostgreSQL refuses to run as root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerUser {
    uid: Uid,
    gid: Gid,
}

impl ServerUser {
    /// `nobody` when we are root, else `None`: servers then run as ourselves.
    pub(crate) fn when_root() -> Result<Option<Self>, Error> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        let user = User::from_name("nobody")
            .map_err(Error::because("the user nobody cannot be looked up"))?
            .ok_or_else(|| Error::new("there is no user nobody to run servers as"))?;
        Ok(Some(Self {
            uid: user.uid,
            gid: user.gid,
        }))
    }

    pub(crate) fn ids(self) -> (u32, u32) {
        (self.uid.as_raw(), self.gid.as_raw())
    }

    pub(crate) fn give(self, path: &Path) -> Result<(), Error> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(Error::because(format!(
            "{} cannot be given away",
            path.display()
        )))
    }
}
