use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::HostAddress;
use super::host::Place;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the socket of a server is that is on this machine and nowhere special.
const SOCKET_DIRECTORIES: [&str; 3] = ["/tmp", "/var/run/postgresql", "/run/postgresql"];

/// The password for a server, from a file such as `.pgpass`: that of the first line that fits. As
/// with libpq, a file that is not there is none, and one that others may read is left alone.
/// <https://www.postgresql.org/docs/current/libpq-pgpass.html>
pub(super) fn password(
    file: &Path,
    host: &HostAddress,
    database: &str,
    user: &str,
) -> Option<Vec<u8>> {
    let about = std::fs::metadata(file).ok()?;
    let problem = if !about.is_file() {
        Some("it is not a plain file")
    } else if about.mode() & 0o077 != 0 {
        Some("others may read it: chmod 0600")
    } else if about.len() > FILE_BYTES_MAX {
        Some("it is too large")
    } else {
        None
    };
    if let Some(problem) = problem {
        tracing::warn!(file = %file.display(), problem, "the password file is not used");
        return None;
    }
    match std::fs::read_to_string(file) {
        Ok(text) => find(&text, host, database, user),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the password file cannot be read");
            None
        }
    }
}

pub(super) fn find(text: &str, host: &HostAddress, database: &str, user: &str) -> Option<Vec<u8>> {
    let names = names_of(host);
    let port = host.port.to_string();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let fields = fields(line);
            let [name, at, of, who, password] = fields.get(..5)? else {
                return None;
            };
            let fits = names.iter().any(|host| is_for(name, host))
                && is_for(at, &port)
                && is_for(of, database)
                && is_for(who, user);
            (fits && !password.text.is_empty()).then(|| password.text.clone().into_bytes())
        })
        .next()
}

/// What a line may call a host.
fn names_of(host: &HostAddress) -> Vec<String> {
    match &host.place {
        Place::Socket(directory) => {
            let usual = SOCKET_DIRECTORIES
                .iter()
                .any(|usual| directory == Path::new(usual));
            let usual = usual.then(|| "localhost".to_owned());
            let directory = directory.to_string_lossy().into_owned();
            usual.into_iter().chain([directory]).collect()
        }
        Place::Network(address) => {
            vec![host.name.clone().unwrap_or_else(|| address.clone())]
        }
    }
}

/// A field of a line, and whether it is a bare star, which stands for anything.
struct Field {
    text: String,
    is_any: bool,
}

fn is_for(field: &Field, value: &str) -> bool {
    field.is_any || field.text == value
}

/// A line's fields: a colon ends one, unless a backslash stands before it.
fn fields(line: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut text = String::new();
    let mut is_escaped = false;
    let mut characters = line.chars();
    let mut end = |text: &mut String, is_escaped: &mut bool| {
        fields.push(Field {
            is_any: text == "*" && !*is_escaped,
            text: std::mem::take(text),
        });
        *is_escaped = false;
    };
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                is_escaped = true;
                text.push(characters.next().unwrap_or('\\'));
            }
            ':' => end(&mut text, &mut is_escaped),
            _ => text.push(character),
        }
    }
    end(&mut text, &mut is_escaped);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::connection::Address;

    fn found(line: &str, url: &str) -> Option<String> {
        let address = Address::parse(url).unwrap();
        let host = address.hosts().first().unwrap();
        let password = find(line, host, address.database(), address.user());
        password.map(|password| String::from_utf8(password).unwrap())
    }

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        let url = "postgres://u@db:5433/d";
        let text = "# db:5433:d:u:comment\nother:5433:d:u:a\ndb:5433:d:u:b\n*:*:*:*:c\n";
        assert_eq!(found(text, url).as_deref(), Some("b"));
        assert_eq!(found(text, "postgres://u@db/d").as_deref(), Some("c"));
        assert_eq!(found("db:5433:d:other:a", url), None);
        assert_eq!(found("db:5433:d:u", url), None);
        assert_eq!(found("db:5433:d:u:", url), None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        assert_eq!(
            found(
                r"\:\:1:*:d\\d:*:p\:w\\\x:rest",
                r"host=::1 user=u dbname='d\\d'"
            )
            .as_deref(),
            Some(r"p:w\x")
        );
        // A name that is a star is no wildcard.
        assert_eq!(found(r"\*:*:*:*:a", "host=b user=u dbname=d"), None);
    }

    #[test]
    fn a_socket_of_the_usual_directory_is_localhost() {
        let line = "localhost:*:*:*:a";
        for directory in SOCKET_DIRECTORIES {
            let url = format!("host={directory} user=u dbname=d");
            assert_eq!(found(line, &url).as_deref(), Some("a"));
        }
        assert_eq!(found(line, "host=/elsewhere user=u dbname=d"), None);
        let own = found("/elsewhere:*:*:*:b", "host=/elsewhere user=u dbname=d");
        assert_eq!(own.as_deref(), Some("b"));
        // The name counts, not where it is.
        let both = "host=localhost hostaddr=127.0.0.1 user=u dbname=d";
        assert_eq!(found(line, both).as_deref(), Some("a"));
        assert_eq!(found("127.0.0.1:*:*:*:b", both), None);
    }
}
