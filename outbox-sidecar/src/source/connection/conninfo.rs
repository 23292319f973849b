use percent_encoding::percent_decode_str;

use super::AddressError;

/// Reads a libpq URL or keyword string: the settings in their order, later ones of a name win.
/// Errors name places, no words: any word may be part of a password.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>
pub(super) fn read(text: &str) -> Result<Vec<(String, String)>, AddressError> {
    for scheme in ["postgres://", "postgresql://"] {
        if let Some(rest) = text.strip_prefix(scheme) {
            return from_url(rest);
        }
    }
    from_keywords(text)
}

fn malformed(what: impl Into<String>) -> AddressError {
    AddressError::Malformed(what.into())
}

fn from_url(rest: &str) -> Result<Vec<(String, String)>, AddressError> {
    let mut settings = Vec::new();
    let mut set = |keyword: &str, value: &str, what: &str| -> Result<(), AddressError> {
        if !value.is_empty() {
            settings.push((keyword.to_owned(), decoded(value, what)?));
        }
        Ok(())
    };
    // As libpq does: a slash in the credentials must be encoded, a question mark need not be.
    let (credentials, rest) = match rest.find(['@', '/']) {
        Some(place) if rest.get(place..).is_some_and(|rest| rest.starts_with('@')) => {
            rest.split_at(place)
        }
        _ => ("", rest),
    };
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    set("user", user, "user")?;
    set("password", password, "password")?;
    let rest = rest.strip_prefix('@').unwrap_or(rest);
    let (location, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = location.split_once('/').unwrap_or((location, ""));
    // libpq would look up the rest of a password, and say so.
    if location.contains('@') {
        return Err(malformed(
            "a @ or / in a user, password or database is written %40 or %2F",
        ));
    }
    let (names, ports) = hosts_of(hosts)?;
    set("host", &names, "host")?;
    set("port", &ports, "port")?;
    set("dbname", database, "database")?;
    for (number, parameter) in parameters.split('&').enumerate() {
        if parameter.is_empty() {
            continue;
        }
        let what = format!("parameter {} after the ?", number + 1);
        let (keyword, value) = parameter
            .split_once('=')
            .ok_or_else(|| malformed(format!("{what} has no =")))?;
        let (keyword, value) = (decoded(keyword, &what)?, decoded(value, &what)?);
        // What JDBC writes.
        if (keyword.as_str(), value.as_str()) == ("ssl", "true") {
            settings.push(("sslmode".to_owned(), "require".to_owned()));
        } else {
            settings.push((keyword, value));
        }
    }
    Ok(settings)
}

/// The names and the ports of `host:port,[address]:port`, each as libpq's lists.
fn hosts_of(hosts: &str) -> Result<(String, String), AddressError> {
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[') {
            Some(rest) => rest
                .split_once(']')
                .ok_or_else(|| malformed("an address in [ has no ]"))?,
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        names.push(name);
        ports.push(match port.strip_prefix(':') {
            Some(port) => port,
            None if port.is_empty() => "",
            None => return Err(malformed("after an address in [] comes :port")),
        });
    }
    let ports = if ports.iter().all(|port| port.is_empty()) {
        String::new()
    } else {
        ports.join(",")
    };
    Ok((names.join(","), ports))
}

fn decoded(text: &str, what: &str) -> Result<String, AddressError> {
    let bytes = text.as_bytes();
    let broken = bytes.iter().enumerate().any(|(place, byte)| {
        *byte == b'%'
            && !bytes
                .get(place + 1..place + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if broken {
        return Err(malformed(format!(
            "the {what} has a % without two hexadecimal digits; a % itself is written %25"
        )));
    }
    let read = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| malformed(format!("the {what} is not UTF-8")))?;
    if read.contains('\0') {
        return Err(malformed(format!("the {what} has a zero byte")));
    }
    Ok(read.into_owned())
}

/// `keyword = value`, where the value may be in single quotes, and a backslash escapes.
fn from_keywords(text: &str) -> Result<Vec<(String, String)>, AddressError> {
    let mut settings = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let place = text.len() - rest.len() + 1;
        let end = rest
            .find(|character: char| character == '=' || character.is_whitespace())
            .unwrap_or(rest.len());
        let (keyword, after) = rest.split_at(end);
        let value = after.trim_start().strip_prefix('=').ok_or_else(|| {
            malformed(format!(
                "no = after the word at character {place}; a value with a space is written in \
                 single quotes"
            ))
        })?;
        let (value, after) = value_at(value.trim_start())
            .ok_or_else(|| malformed(format!("no ' ends the value at character {place}")))?;
        settings.push((keyword.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(settings)
}

/// The value at the beginning of a text, and what comes after it.
fn value_at(text: &str) -> Option<(String, &str)> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut read = String::new();
    let mut characters = body.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '\\' => read.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted.is_some() => return Some((read, body.get(place + 1..)?)),
            _ if character.is_whitespace() && quoted.is_none() => {
                return Some((read, body.get(place..)?));
            }
            _ => read.push(character),
        }
    }
    quoted.is_none().then_some((read, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Vec<(String, String)> {
        read(text).unwrap()
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
        let owned = |(keyword, value): (&str, &str)| (keyword.to_owned(), value.to_owned());
        pairs.into_iter().map(owned).collect()
    }

    #[test]
    fn urls_are_read_as_libpq_does() {
        assert_eq!(
            settings("postgresql://us%20er:p%3Aw?@h:1,[::1]:2,[fe80::1],i/d%2F?a=1&b=%26&ssl=true"),
            pairs([
                ("user", "us er"),
                ("password", "p:w?"),
                ("host", "h,::1,fe80::1,i"),
                ("port", "1,2,,"),
                ("dbname", "d/"),
                ("a", "1"),
                ("b", "&"),
                ("sslmode", "require"),
            ])
        );
        assert_eq!(
            settings("postgres://%2Frun%2Fpg/d"),
            pairs([("host", "/run/pg"), ("dbname", "d")])
        );
        assert_eq!(settings("postgres://"), pairs([]));
    }

    #[test]
    fn keywords_are_read_as_libpq_does() {
        assert_eq!(
            settings(r"host=h sslmode = 'require'  password='a\' \\ b=c' dbname=my\ db x=''"),
            pairs([
                ("host", "h"),
                ("sslmode", "require"),
                ("password", r"a' \ b=c"),
                ("dbname", "my db"),
                ("x", ""),
            ])
        );
        assert_eq!(settings("  "), pairs([]));
    }

    #[test]
    fn mistakes_are_named_by_place_and_never_by_word() {
        for text in [
            "password=canary canary",
            "password='canary canary",
            "postgres://u:canary%@h/d",
            "postgres://u:canary%zz@h/d",
            "postgres://u@[canary/d",
            "postgres://u@[::1]canary/d",
            "postgres://u@h/d?canary",
            "postgres://u@h/d?canary=%ff",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
