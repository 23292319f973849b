//! The one error of the test bed: what could not be done, and why.

use std::error::Error as StdError;
use std::fmt;

/// Something of the test bed failed. Its text names the cause in full, down to the last lines of
/// a server's log where there is one.
pub struct Error {
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with this text.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// An error with this text and its cause; use as `.map_err(Error::because("..."))`.
    pub fn because<E: StdError + Send + Sync + 'static>(
        message: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        |source| Self {
            message: message.into(),
            source: Some(Box::new(source)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

// A test's `unwrap` prints Debug: it must be as readable as Display.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl From<testbed_supervisor::Error> for Error {
    fn from(error: testbed_supervisor::Error) -> Self {
        Self {
            message: "the supervisor".to_owned(),
            source: Some(Box::new(error)),
        }
    }
}
