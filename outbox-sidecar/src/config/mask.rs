//! What may be shown of a value that may hold a secret: only what is understood, never what is left
//! over. Any word of a text that is not quite right may be part of a password.

use super::keys::PROPERTIES;
use super::origin::Raw;

/// Shown in place of a secret.
pub(crate) const MASK: &str = "********";

/// Parameters of addresses, libpq's and RabbitMQ's, whose values are no secrets.
const SHOWN: &[&str] = &[
    "application_name",
    "auth_mechanism",
    "cacertfile",
    "certfile",
    "channel_binding",
    "channel_max",
    "connect_timeout",
    "connection_timeout",
    "dbname",
    "frame_max",
    "heartbeat",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "keyfile",
    "passfile",
    "port",
    "service",
    "servicefile",
    "ssl",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
    "verify",
];

/// What librdkafka's properties of logins and keys may say openly.
const SHOWN_PROPERTIES: &[&str] = &[
    "sasl.kerberos.keytab",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.username",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.sigalgs.list",
];

/// Whether a property's value may be a secret. A misspelt name of one is one, too.
pub(super) fn is_secret_property(property: &str) -> bool {
    const MARKS: [&str; 6] = [
        "pas",
        "pwd",
        "secret",
        "jaas",
        "oauthbearer.config",
        "key.pem",
    ];
    let of_logins = ["sasl", "ssl"]
        .iter()
        .any(|begin| property.starts_with(begin));
    let is_open = SHOWN_PROPERTIES.contains(&property) || property.ends_with(".location");
    MARKS.iter().any(|mark| property.contains(mark)) || of_logins && !is_open
}

/// What is shown of the value of a key, where not all of it may be.
pub(super) fn mask(key: &str, is_secret: bool, raw: &mut Raw) {
    let last = key.rsplit('.').next().unwrap_or_default();
    match raw {
        Raw::Other(_) => {}
        Raw::Text(url) if last == "url" => *url = without_password(url),
        Raw::Text(file) if last == "url_file" => *file = file_name(file).to_owned(),
        Raw::List(urls) if last == "urls" => {
            for url in urls {
                *url = without_password(url);
            }
        }
        _ if is_secret => *raw = Raw::Text(MASK.to_owned()),
        _ => {}
    }
}

/// The name of a file that should hold an address, unless it is the address itself.
pub(super) fn file_name(written: &str) -> &str {
    if written.contains("://") || written.contains('@') {
        MASK
    } else {
        written
    }
}

/// A name of a key, unless something else stands in its place.
pub(super) fn key_name(written: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if written.bytes().all(plain) {
        written
    } else {
        MASK
    }
}

/// An address keeps everything but its password, so that people see which server is meant.
pub(super) fn without_password(address: &str) -> String {
    let shown = match address.split_once("://") {
        Some((scheme, rest)) => url(scheme, rest),
        None => is_understood(address.split_whitespace()).then(|| address.to_owned()),
    };
    shown.unwrap_or_else(|| MASK.to_owned())
}

fn url(scheme: &str, rest: &str) -> Option<String> {
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    let (location, parameters) = match place.split_once('?') {
        Some((location, parameters)) => (location, Some(parameters)),
        None => (place, None),
    };
    let hosts = location
        .split_once('/')
        .map_or(location, |(hosts, _)| hosts);
    let fine = hosts.split(',').all(is_host)
        && !location.contains(|character: char| character.is_whitespace() || character == '#')
        && parameters.is_none_or(|parameters| is_understood(parameters.split('&')));
    let credentials = match credentials.map(|credentials| credentials.split_once(':')) {
        None => String::new(),
        Some(Some((user, _))) => format!("{user}:{MASK}@"),
        Some(None) => format!("{}@", credentials?),
    };
    fine.then(|| format!("{scheme}://{credentials}{place}"))
}

/// A name or address, and a port: a password without its host stands where the port would.
fn is_host(host: &str) -> bool {
    let port = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(_, port)| port),
        None => Some(host.find(':').map_or("", |colon| host.split_at(colon).1)),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    port.is_some_and(|port| port.is_empty() || port.strip_prefix(':').is_some_and(digits))
}

/// Whether each word says openly what it is.
fn is_understood<'a>(mut words: impl Iterator<Item = &'a str>) -> bool {
    words.all(|word| {
        word.split_once('=').is_some_and(|(keyword, value)| {
            SHOWN.contains(&keyword) && !value.contains(['\'', '\\', '#'])
        })
    })
}

/// Whether a key's name is that of a property whose value may be a secret.
pub(super) fn is_secret_key(name: &str) -> bool {
    name.strip_prefix(PROPERTIES)
        .is_some_and(is_secret_property)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        assert_eq!(
            without_password("postgres://u:p@ss@h/d"),
            "postgres://u:********@h/d"
        );
        assert_eq!(without_password("postgres://u@h/d"), "postgres://u@h/d");
        assert_eq!(without_password("host=h password=x"), MASK);
        assert_eq!(without_password("postgres://u@h/d?password=x"), MASK);
    }
}
