//! A Debian in a directory, for servers that the system has in another version.
//!
//! Programs run in it with a mount namespace of their own: nothing is mounted where others see it, and
//! nothing stays mounted, however they end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Uid;
use testbed_supervisor::Spawn;

use crate::error::Error;
use crate::provision::{cache, command};
use crate::user::ServerUser;

/// A slow mirror on a busy machine.
const INSTALLING_MAX: Duration = Duration::from_secs(1800);
/// Where the tree shows a program's directory: a folder that every Debian has, and leaves empty.
const SEEN: &str = "/srv";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Mounts what a program needs, and becomes it: signals to the process reach the program.
const ENTER: &str = r#"set -e
tree=$1 directory=$2 seen=$3 user=$4
shift 4
mount --rbind /proc "$tree/proc"
mount --rbind /dev "$tree/dev"
mount --bind "$directory" "$tree$seen"
exec chroot --userspec="$user" --groups= "$tree" env --chdir="$seen" "$@"
"#;
/// What installing leaves behind and nothing needs: a third of the tree.
const LEFTOVERS: [&str; 2] = ["var/cache/apt", "var/lib/apt/lists"];

/// A directory with a Debian in it.
#[derive(Debug, Clone)]
pub(super) struct DebianTree {
    root: PathBuf,
    unshare: PathBuf,
}

impl DebianTree {
    /// The tree of this release of Debian with this package, made when the cache does not hold it.
    pub(super) fn with(suite: &str, package: &str) -> Result<Self, Error> {
        if !Uid::effective().is_root() {
            return Err(Error::new(format!(
                "{package} of Debian's {suite} runs in a mount namespace of its own, which needs \
                 root; run the tests as root, or with the system's package"
            )));
        }
        let unshare = command::require("unshare", "util-linux")?;
        let name = format!("debian-{suite}-{}-{package}", std::env::consts::ARCH);
        let entry = cache::entry(&name, |folder| install(&unshare, suite, package, folder))?;
        Ok(Self {
            root: entry.join("tree"),
            unshare,
        })
    }

    /// What a program's directory is called inside.
    pub(super) fn seen() -> &'static Path {
        Path::new(SEEN)
    }

    /// Runs a program of the tree, which sees this directory of the machine as its own.
    pub(super) fn command(
        &self,
        program: &Path,
        directory: &Path,
        user: Option<ServerUser>,
    ) -> Spawn {
        let (uid, gid) = user.map_or((0, 0), ServerUser::ids);
        isolated(&self.unshare)
            .args(["sh", "-c", ENTER, "enter"])
            .arg(self.root.to_string_lossy())
            .arg(directory.to_string_lossy())
            .args([SEEN.to_owned(), format!("{uid}:{gid}")])
            .arg(program.to_string_lossy())
    }
}

fn install(unshare: &Path, suite: &str, package: &str, folder: &Path) -> Result<(), Error> {
    let debootstrap = command::require("debootstrap", "debootstrap")?;
    let tree = folder.join("tree");
    let install = isolated(unshare)
        .arg(debootstrap.to_string_lossy())
        .args(["--force-check-gpg", "--variant=minbase"])
        .args([format!("--include={package}"), suite.to_owned()])
        .arg(tree.to_string_lossy());
    let log = folder.join("debootstrap.log");
    command::run_supervised("debootstrap", install, &log, INSTALLING_MAX)?;
    for leftover in LEFTOVERS {
        let path = tree.join(leftover);
        fs::remove_dir_all(&path).map_err(Error::because(format!(
            "{} cannot be removed",
            path.display()
        )))?;
    }
    Ok(())
}

/// A command in a mount namespace and an environment of its own.
fn isolated(unshare: &Path) -> Spawn {
    Spawn::new(unshare.to_string_lossy())
        .args(["--mount", "--propagation", "private"])
        .env_clear()
        .env("PATH", PATH)
}
