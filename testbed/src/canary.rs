//! Passwords that no program under test may ever print.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// What every password of a test contains. Its signs survive percent-encoding and quoting.
pub const CANARY: &str = "c4nary";

/// RabbitMQ's own password where it would be shown: with the URL that it stands in.
const OF_GUEST: &str = ":guest@";

/// Panics where a password stands in what a program has said; `what` says which program.
pub fn assert_no_canary(what: &str, said: &str) {
    for line in said.lines() {
        assert!(!shows_one(line), "{what} shows a password: {line}");
    }
}

fn shows_one(line: &str) -> bool {
    line.contains(CANARY) || line.contains(OF_GUEST)
}

/// What a program has printed to files; dropped, it is searched. To be dropped when the program is gone
/// and its files are not.
#[derive(Debug)]
pub(crate) struct Printed {
    files: Vec<PathBuf>,
}

impl Printed {
    pub(crate) fn to(files: impl Into<Vec<PathBuf>>) -> Self {
        Self {
            files: files.into(),
        }
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        // Whoever unwinds has failed already, and a second panic would end the process.
        if !std::thread::panicking() {
            self.files.iter().for_each(|file| search(file));
        }
    }
}

fn search(file: &Path) {
    let Ok(open) = std::fs::File::open(file) else {
        // A program that was never started has printed nothing.
        return;
    };
    let lines = BufReader::new(open).split(b'\n');
    for line in lines.map_while(Result::ok) {
        assert_no_canary(&file.display().to_string(), &String::from_utf8_lossy(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_wherever_it_stands() {
        for said in ["postgres://u:c4nary@h/d", "a\n amqp://guest:guest@h\nb"] {
            let found = std::panic::catch_unwind(|| assert_no_canary("a program", said));
            assert!(found.is_err(), "{said}");
        }
        assert_no_canary("a program", "postgres://u:***@h/d\nguest");
    }
}
