//! RabbitMQ: the system's package, or version 4 from a Debian of its own.

mod version;

use std::path::{Path, PathBuf};

use testbed_supervisor::Spawn;

use crate::error::Error;
use crate::provision::command;
use crate::provision::debian::DebianTree;
use crate::user::ServerUser;

pub use version::RabbitVersion;

/// The package's own programs; those in PATH change the user and the directory first.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// The Debian that has version 4, and the package's name there.
const SUITE: &str = "trixie";
const PACKAGE: &str = "rabbitmq-server";
const EPMD_IN_TREE: &str = "/usr/bin/epmd";

/// Where RabbitMQ's programs are.
#[derive(Debug, Clone)]
pub struct RabbitInstallation {
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    System { epmd: PathBuf },
    Tree(DebianTree),
}

impl RabbitInstallation {
    /// Runs `rabbitmq-server`, `rabbitmqctl` or their like, with a node's directory as its own.
    pub(crate) fn program(&self, name: &str, directory: &Path, user: Option<ServerUser>) -> Spawn {
        self.run(&Path::new(PROGRAMS).join(name), directory, user)
    }

    /// Runs Erlang's port mapper.
    pub(crate) fn epmd(&self, directory: &Path, user: Option<ServerUser>) -> Spawn {
        let epmd = match &self.place {
            Place::System { epmd } => epmd,
            Place::Tree(_) => Path::new(EPMD_IN_TREE),
        };
        self.run(epmd, directory, user)
    }

    /// What a node's directory is called for the programs.
    pub(crate) fn seen<'path>(&self, directory: &'path Path) -> &'path Path {
        match &self.place {
            Place::System { .. } => directory,
            Place::Tree(_) => DebianTree::seen(),
        }
    }

    fn run(&self, program: &Path, directory: &Path, user: Option<ServerUser>) -> Spawn {
        match &self.place {
            Place::System { .. } => {
                let command = Spawn::new(program.to_string_lossy()).directory(directory);
                match user.map(ServerUser::ids) {
                    Some((uid, gid)) => command.user(uid, gid),
                    None => command,
                }
            }
            Place::Tree(tree) => tree.command(program, directory, user),
        }
    }
}

/// RabbitMQ in this version; version 4 is installed when the cache does not hold it. Blocks.
///
/// # Errors
/// When a program is missing (the error names its package), the installation fails, or version 4 is
/// wanted by another user than root.
pub fn rabbitmq(version: RabbitVersion) -> Result<RabbitInstallation, Error> {
    match version {
        RabbitVersion::System => {
            if !Path::new(PROGRAMS).join("rabbitmq-server").is_file() {
                return Err(Error::new(
                    "RabbitMQ is not installed; on Debian or Ubuntu: apt-get install \
                     rabbitmq-server",
                ));
            }
            let epmd = command::require("epmd", "erlang-base")?;
            Ok(RabbitInstallation {
                place: Place::System { epmd },
            })
        }
        RabbitVersion::V4 => Ok(RabbitInstallation {
            place: Place::Tree(DebianTree::with(SUITE, PACKAGE)?),
        }),
    }
}
