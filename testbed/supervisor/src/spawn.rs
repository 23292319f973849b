//! What to start, and how.

use std::path::PathBuf;

/// Where the standard output and error of a process go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Output {
    /// Nowhere.
    #[default]
    Discard,
    /// Both to the supervisor's own, which are those of the process that started it.
    Inherit,
    /// Both appended to one file.
    File(PathBuf),
    /// Standard output to the first file, standard error to the second, both appended.
    Files(PathBuf, PathBuf),
}

/// A process to start: program, arguments, environment, user, directory, output.
///
/// Paths and arguments must be UTF-8; standard input is always empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spawn {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) env_clear: bool,
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) output: Output,
}

impl Spawn {
    /// A process of `program`, looked up in PATH when it holds no slash.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            argv: vec![program.into()],
            ..Self::default()
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts from an empty environment instead of the supervisor's.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.env_clear = true;
        self
    }

    /// Runs as this user and group, without supplementary groups. Needs root.
    #[must_use]
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.user = Some((uid, gid));
        self
    }

    /// Runs in this directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sends standard output and error there.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }
}
