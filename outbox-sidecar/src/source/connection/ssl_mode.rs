/// Takes the last `sslmode` out of a libpq URL or keyword string, together with all others: the
/// driver's parser refuses the modes that it does not know itself.
pub(super) fn without_ssl_mode(text: &str) -> (String, Option<String>) {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        from_url(text)
    } else {
        from_keywords(text)
    }
}

fn from_url(url: &str) -> (String, Option<String>) {
    // Credentials may hold anything, also a question mark.
    let credentials = url.find('@').unwrap_or(0);
    let (before, after) = url.split_at(credentials);
    let Some((path, parameters)) = after.split_once('?') else {
        return (url.to_owned(), None);
    };
    let mut mode = None;
    let mut kept = Vec::new();
    for parameter in parameters.split('&') {
        match parameter.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            _ => kept.push(parameter),
        }
    }
    if kept.is_empty() {
        return (format!("{before}{path}"), mode);
    }
    (format!("{before}{path}?{}", kept.join("&")), mode)
}

fn from_keywords(text: &str) -> (String, Option<String>) {
    let mut mode = None;
    let mut kept = String::new();
    let mut rest = text;
    while let Some((keyword, value, after)) = next_setting(rest) {
        let whole = rest.len() - after.len();
        if keyword == "sslmode" {
            mode = Some(value);
        } else {
            kept.push_str(rest.get(..whole).unwrap_or(rest));
        }
        rest = after;
    }
    // What is no setting is for the driver's parser to complain about.
    kept.push_str(rest);
    (kept, mode)
}

/// `keyword = value`, where the value may be in single quotes, and a backslash escapes.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>
fn next_setting(text: &str) -> Option<(&str, String, &str)> {
    let (keyword, value) = text.split_once('=')?;
    let keyword = keyword.trim();
    let value = value.trim_start();
    let quoted = value.strip_prefix('\'');
    let body = quoted.unwrap_or(value);
    let mut read = String::new();
    let mut characters = body.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '\\' => read.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted.is_some() => return Some((keyword, read, body.get(place + 1..)?)),
            _ if character.is_whitespace() && quoted.is_none() => {
                return Some((keyword, read, body.get(place..)?));
            }
            _ => read.push(character),
        }
    }
    Some((keyword, read, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> (String, Option<String>) {
        without_ssl_mode(text)
    }

    #[test]
    fn a_url_loses_only_its_ssl_mode() {
        let mode = |mode: &str| Some(mode.to_owned());
        assert_eq!(
            taken("postgres://u@h/d?a=1&sslmode=verify-full&b=2"),
            ("postgres://u@h/d?a=1&b=2".to_owned(), mode("verify-full"))
        );
        assert_eq!(
            taken("postgresql://u@h/d?sslmode=require"),
            ("postgresql://u@h/d".to_owned(), mode("require"))
        );
        let innocent = "postgres://u:x?sslmode=disable@h/d";
        assert_eq!(taken(innocent), (innocent.to_owned(), None));
    }

    #[test]
    fn keywords_are_read_as_libpq_does() {
        for text in [
            "sslmode=require host=h",
            "host=h sslmode = 'require'",
            r"host=h sslmode=req\uire password='a\' sslmode=disable'",
        ] {
            let (rest, mode) = taken(text);
            assert_eq!(mode.as_deref(), Some("require"), "{text}");
            assert!(rest.contains("host=h"), "{rest}");
            assert!(!rest.contains("require"), "{rest}");
        }
        assert_eq!(taken("not a url"), ("not a url".to_owned(), None));
    }
}
