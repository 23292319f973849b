//! Why a command of xtask failed.

use std::fmt;

/// A message and the exit code that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    exit_code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: 1,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: 2,
        }
    }

    /// A program that xtask ran ended with this code, which becomes xtask's own.
    pub(crate) fn of_program(line: &str, exit: testbed_supervisor::Exit) -> Self {
        let code = exit
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1);
        Self {
            message: format!("`{line}` ended with {exit}"),
            exit_code: code.max(1),
        }
    }

    /// The same, with what happened before it.
    pub(crate) fn after(self, cause: &str) -> Self {
        Self {
            message: format!("{cause}\n{}", self.message),
            ..self
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<testbed_supervisor::Error> for Failure {
    fn from(error: testbed_supervisor::Error) -> Self {
        Self::new(error.to_string())
    }
}
