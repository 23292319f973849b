//! Where a broker listens, and as whom to log in.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::sink::broker_tls::BrokerTls;

const PLAIN: &str = "rabbitmq-stream";
const TLS: &str = "rabbitmq-stream+tls";
const PLAIN_PORT: u16 = 5552;
const TLS_PORT: u16 = 5551;
/// What the protocol's texts can carry.
const TEXT_BYTES_MAX: usize = 255;

/// One broker. It holds a password and has no `Debug` on purpose.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<BrokerTls>,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) vhost: String,
}

impl Address {
    /// Reads `rabbitmq-stream://user:password@host:5552/vhost`; without a vhost it is `/`, without
    /// a user `guest`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let tls = match url.scheme() {
            PLAIN => false,
            TLS => true,
            other => return Err(format!("expected {PLAIN}:// or {TLS}://, found {other}://")),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or("it names no host")?;
        let vhost = url.path().strip_prefix('/').unwrap_or_default();
        if vhost.contains('/') {
            return Err("a / in the vhost is written %2f".to_owned());
        }
        let vhost = if vhost.is_empty() { "%2f" } else { vhost };
        let encryption = BrokerTls::read(&url, tls, &[])?;
        if encryption.is_external && !tls {
            return Err(format!("auth_mechanism=external needs {TLS}"));
        }
        let (user, password) = match (url.username(), url.password()) {
            ("", None) => ("guest", "guest"),
            (user, password) => (user, password.unwrap_or_default()),
        };
        Ok(Self {
            // An IPv6 address stands in brackets in a URL, and nowhere else.
            host: decode(host.trim_matches(['[', ']']), "host")?,
            port: url
                .port()
                .unwrap_or(if tls { TLS_PORT } else { PLAIN_PORT }),
            tls: tls.then_some(encryption),
            user: decode(user, "user")?,
            password: decode(password, "password")?,
            vhost: decode(vhost, "vhost")?,
        })
    }

    /// `host:port`, for messages.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn decode(text: &str, what: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| format!("the {what} is not UTF-8"))?;
    if decoded.len() > TEXT_BYTES_MAX {
        return Err(format!("the {what} is longer than {TEXT_BYTES_MAX} bytes"));
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_added() {
        let address = Address::parse("rabbitmq-stream://mq").unwrap();
        assert_eq!(address.place(), "mq:5552");
        let login = (address.user.as_str(), address.password.as_str());
        assert_eq!(login, ("guest", "guest"));
        assert_eq!((address.vhost.as_str(), address.tls), ("/", None));
        let address = Address::parse("rabbitmq-stream+tls://mq/").unwrap();
        assert_eq!((address.port, address.vhost.as_str()), (5551, "/"));
    }

    #[test]
    fn every_part_is_decoded() {
        let address =
            Address::parse("rabbitmq-stream+tls://re%40lay:p%2fw@[::1]:1234/%2fa").unwrap();
        assert_eq!(address.place(), "::1:1234");
        assert_eq!(address.user, "re@lay");
        assert_eq!(address.password, "p/w");
        assert_eq!(address.vhost, "/a");
        assert!(address.tls.is_some());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            "mq",
            "amqp://mq",
            "rabbitmq-stream://",
            "rabbitmq-stream://mq/a/b",
            "rabbitmq-stream://mq/%ff",
            "rabbitmq-stream://mq?heartbeat=1",
            "rabbitmq-stream://mq:99999",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
