use std::path::PathBuf;

use crate::sink::kafka::settings::KafkaSettingsError;

/// The largest file that is read: tokens are longer than passwords, but not that long.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A file whose first line is the password.
#[derive(Clone, Debug)]
pub(super) struct PasswordFile(PathBuf);

impl PasswordFile {
    pub(super) fn at(file: PathBuf) -> Self {
        Self(file)
    }

    /// The password as it is now.
    pub(super) fn read(&self) -> Result<String, KafkaSettingsError> {
        let bad = |why: String| KafkaSettingsError::File {
            setting: "kafka.password_file",
            file: self.0.clone(),
            why,
        };
        let about = std::fs::metadata(&self.0).map_err(|error| bad(error.to_string()))?;
        if about.len() > FILE_BYTES_MAX {
            return Err(bad(format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(&self.0).map_err(|error| bad(error.to_string()))?;
        match text.lines().next() {
            Some(password) if !password.is_empty() => Ok(password.to_owned()),
            _ => Err(bad("there is no password in its first line".to_owned())),
        }
    }
}
