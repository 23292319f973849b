//! Ports on 127.0.0.1 that nobody else takes, not even while their server is down.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use nix::unistd::Uid;

use crate::error::Error;

/// Below the range from which operating systems give ports to outgoing connections (32768 and up
/// on Linux, 49152 and up elsewhere): while a server is down, a client that tries to connect could
/// otherwise be given the very port, and hold it.
const RANGE: Range<u16> = 15_000..32_000;
const ATTEMPTS_MAX: usize = 200;

/// A port of 127.0.0.1, reserved against every other test bed of this user until dropped.
#[derive(Debug)]
pub struct ReservedPort {
    number: u16,
    /// Holds the lock.
    _lock: File,
}

impl ReservedPort {
    /// Finds a port on which nothing listens, and reserves it.
    ///
    /// # Errors
    /// When the folder of the locks is not writable or no free port is found.
    pub fn find() -> Result<Self, Error> {
        let folder =
            std::env::temp_dir().join(format!("outbox-testbed-ports-{}", Uid::effective()));
        let fail = || format!("a port cannot be reserved in {}", folder.display());
        std::fs::create_dir_all(&folder).map_err(Error::because(fail()))?;
        for _ in 0..ATTEMPTS_MAX {
            let number = fastrand::u16(RANGE);
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(folder.join(number.to_string()))
                .map_err(Error::because(fail()))?;
            let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
            if lock.try_lock().is_ok() && free() {
                return Ok(Self {
                    number,
                    _lock: lock,
                });
            }
        }
        Err(Error::new(format!(
            "no free port found in {RANGE:?} after {ATTEMPTS_MAX} attempts"
        )))
    }

    /// The port.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}
