//! Why brokers do not take our connections. librdkafka says that in its log alone: callers hear that
//! something timed out.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;

use super::broker_certificate;
use super::errors::Trouble;

/// How long librdkafka's log lines are waited for when something went wrong.
pub(super) const LOG_MAX: Duration = Duration::from_millis(200);
/// The log line's kind.
const FACILITY: &str = "FAIL";
/// The same failure of a broker is logged every 30 s only; one that is older is over.
const REMEMBERED: Duration = Duration::from_secs(35);
/// How many brokers are remembered.
const BROKERS_MAX: usize = 1000;
/// Any of these says who we are.
const IDENTITIES: [&str; 3] = [
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.keystore.location",
];

/// The last failure of each broker of a client.
#[derive(Debug, Default)]
pub(super) struct ConnectionFailures {
    has_identity: bool,
    last: Mutex<HashMap<String, (Instant, Failure)>>,
    noted: Condvar,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    cause: Cause,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// User or password.
    Login,
    /// The listener knows no such way to log in.
    Mechanism,
    /// The broker has not proven who it is.
    Unproven,
    /// The broker does not believe who we are.
    Identity,
    /// Without TLS, to a listener that ends the connection at the first word.
    PlainEnded,
    /// With TLS, to a listener that ends the connection when that begins.
    TlsEnded,
    /// Without a login, to a listener that ends the connection soon.
    LoginLess,
    /// Nothing that says no.
    Other,
}

impl ConnectionFailures {
    /// None yet, of a client with this configuration.
    pub(super) fn of(config: &ClientConfig) -> Self {
        Self {
            has_identity: IDENTITIES.iter().any(|name| config.get(name).is_some()),
            last: Mutex::default(),
            noted: Condvar::new(),
        }
    }

    /// A log line: librdkafka names its kind by a facility.
    pub(super) fn log_line(&self, facility: &str, message: &str) {
        let Some((place, failure)) = read(facility, message) else {
            return;
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() < BROKERS_MAX || last.contains_key(&place) {
            last.insert(place, (Instant::now(), failure));
            self.noted.notify_all();
        }
    }

    /// The same as [`explain`](Self::explain), of a client whose log another thread reads: the line may come
    /// a moment after the trouble that it explains.
    pub(super) fn explain_within(&self, limit: Duration, trouble: Trouble) -> Trouble {
        if matches!(trouble, Trouble::Unclear(_)) {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let says_nothing = |last: &mut HashMap<_, (Instant, _)>| {
                last.values().all(|(at, _)| at.elapsed() >= REMEMBERED)
            };
            // Whether one came is seen below.
            drop(self.noted.wait_timeout_while(last, limit, says_nothing));
        }
        self.explain(trouble)
    }

    /// What an unclear trouble comes from, if a broker has said so. Looks at the broker's
    /// certificate where that is the cause, which may take some seconds.
    pub(super) fn explain(&self, trouble: Trouble) -> Trouble {
        let Trouble::Unclear(reason) = trouble else {
            return trouble;
        };
        let recent = self.recent();
        let refusal = recent.iter().find_map(|(place, failure)| {
            let words = self.refusal(place, failure)?;
            Some(format!("broker {place}: {words}"))
        });
        match (refusal, recent.first()) {
            (Some(refusal), _) => Trouble::Fatal(refusal),
            (None, Some((place, failure))) => {
                let (text, hint) = (&failure.text, hint(failure.cause));
                Trouble::Unclear(format!(
                    "{reason}; last error: broker {place}: {text}{hint}"
                ))
            }
            (None, None) => Trouble::Unclear(reason),
        }
    }

    /// The newest first.
    fn recent(&self) -> Vec<(String, Failure)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut recent: Vec<_> = last
            .iter()
            .filter(|(_, (at, _))| at.elapsed() < REMEMBERED)
            .collect();
        recent.sort_by_key(|(_, (at, _))| std::cmp::Reverse(*at));
        recent
            .into_iter()
            .map(|(place, (_, failure))| (place.clone(), failure.clone()))
            .collect()
    }

    /// What a broker refuses us for, and what to do; none where it may be merely away.
    fn refusal(&self, place: &str, failure: &Failure) -> Option<String> {
        let text = &failure.text;
        match failure.cause {
            Cause::Login => Some(format!(
                "{text}; check sasl.username and sasl.password (or kafka.password_file)"
            )),
            Cause::Mechanism => Some(format!(
                "{text}; set sasl.mechanism to one of those, or security.protocol to what this \
                 listener speaks"
            )),
            Cause::Unproven => Some(format!(
                "its certificate is not accepted: {}",
                broker_certificate::objection(place).unwrap_or_else(|| {
                    format!("{text}; check ssl.ca.location and the names that it is for")
                })
            )),
            Cause::Identity if self.has_identity => Some(format!(
                "it does not accept our certificate (ssl.certificate.location): an authority that \
                 it trusts must have signed it ({text})"
            )),
            Cause::Identity => Some(format!(
                "it wants a certificate of ours: set ssl.certificate.location and ssl.key.location \
                 ({text})"
            )),
            Cause::PlainEnded | Cause::TlsEnded | Cause::LoginLess | Cause::Other => None,
        }
    }
}

/// What may be behind a connection that merely ended.
const fn hint(cause: Cause) -> &'static str {
    match cause {
        Cause::PlainEnded => {
            "; if this listener wants TLS, set security.protocol to ssl or sasl_ssl"
        }
        Cause::TlsEnded => "; if this listener has no TLS, set security.protocol to plaintext",
        Cause::LoginLess => "; if this listener wants a login, set security.protocol to sasl_ssl",
        _ => "",
    }
}

/// `[thrd:ssl://host:9093/1]: ssl://host:9093/1: what failed (after 5ms in state SSL_HANDSHAKE)`
fn read(facility: &str, message: &str) -> Option<(String, Failure)> {
    if facility != FACILITY {
        return None;
    }
    let (_, line) = message.split_once("]: ")?;
    let (mut name, mut rest) = line.split_once(": ")?;
    // A coordinator is called by what it is, and its address follows.
    if !name.contains(':') || name.ends_with("Coordinator") {
        (name, rest) = rest.split_once(": ")?;
    }
    let (text, state) = rest.rsplit_once(" (after ").unwrap_or((rest, ""));
    let (security, place) = name.split_once("://").unwrap_or(("plaintext", name));
    let place = place.rsplit_once('/').map_or(place, |(place, _)| place);
    let failure = Failure {
        cause: cause(security, text, state),
        text: text.to_owned(),
    };
    Some((place.to_owned(), failure))
}

fn cause(security: &str, text: &str, state: &str) -> Cause {
    let says = |words: &str| text.contains(words);
    let during = |name: &str| state.contains(name);
    let ended = says("Disconnected") || says("connection reset");
    if says("SASL") && says("mechanism handshake failed") {
        Cause::Mechanism
    } else if says("SASL") || during("state AUTH") && says("uthentication") {
        Cause::Login
    } else if says("certificate verify failed") || says("did not provide a certificate") {
        Cause::Unproven
    } else if says("alert") && (says("certificate") || says("unknown ca")) {
        Cause::Identity
    } else if ended && !security.ends_with("ssl") && during("APIVERSION_QUERY") {
        Cause::PlainEnded
    } else if ended && during("SSL_HANDSHAKE") {
        Cause::TlsEnded
    } else if ended && security == "ssl" {
        Cause::LoginLess
    } else {
        Cause::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, text: &str, state: &str) -> String {
        format!("[thrd:{name}]: {name}: {text} (after 7ms in state {state})")
    }

    fn cause_of(name: &str, text: &str, state: &str) -> Cause {
        read(FACILITY, &line(name, text, state)).unwrap().1.cause
    }

    #[test]
    fn each_cause_is_known_by_librdkafkas_words() {
        let (tls, login) = ("ssl://mq:9093/1", "sasl_ssl://mq:9094/bootstrap");
        let unproven =
            "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed";
        let alert = "Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert \
                     number 42";
        let wrong =
            "SASL authentication error: Authentication failed: Invalid username or password";
        let mechanism = "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: \
                         broker's supported mechanisms: SCRAM-SHA-512";
        let ended = "Disconnected: connection closed by peer: receive 0 after POLLIN";
        let away = "Connect to ipv4#127.0.0.1:1 failed: Connection refused";
        for (name, text, state, expected) in [
            (tls, unproven, "SSL_HANDSHAKE", Cause::Unproven),
            (tls, alert, "APIVERSION_QUERY", Cause::Identity),
            (login, wrong, "AUTH_REQ", Cause::Login),
            (login, mechanism, "AUTH_HANDSHAKE", Cause::Mechanism),
            ("mq:9092/1", ended, "APIVERSION_QUERY", Cause::PlainEnded),
            (
                tls,
                "Disconnected: SSL connection closed by peer",
                "SSL_HANDSHAKE",
                Cause::TlsEnded,
            ),
            (
                tls,
                "Disconnected: SSL connection closed by peer",
                "UP",
                Cause::LoginLess,
            ),
            (tls, away, "CONNECT", Cause::Other),
            ("mq:9092/1", ended, "UP", Cause::Other),
        ] {
            assert_eq!(cause_of(name, text, state), expected, "{text}");
        }
    }

    #[test]
    fn the_broker_is_named_whatever_the_line_calls_it() {
        let place = |line: &str| read(FACILITY, line).map(|(place, _)| place);
        let plain = line("mq:9092/bootstrap", "away", "CONNECT");
        assert_eq!(place(&plain).unwrap(), "mq:9092");
        let six = line("sasl_ssl://[::1]:9093/3", "away", "CONNECT");
        assert_eq!(place(&six).unwrap(), "[::1]:9093");
        let coordinator = "[thrd:TxnCoordinator]: TxnCoordinator: mq:9092: Connect failed (after 1ms \
                           in state CONNECT)";
        assert_eq!(place(coordinator).unwrap(), "mq:9092");
        assert_eq!(read("CONNECT", &plain), None);
    }

    #[test]
    fn a_line_that_another_thread_reads_a_moment_later_explains_the_trouble() {
        let failures = ConnectionFailures::default();
        let away = line("ssl://one:1/1", "Connection refused", "CONNECT");
        let explained = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                failures.log_line(FACILITY, &away);
            });
            let unclear = Trouble::Unclear("metadata: bad message".to_owned());
            failures.explain_within(Duration::from_secs(30), unclear)
        });
        assert!(
            matches!(&explained, Trouble::Unclear(text) if text.contains("broker one:1: Connection")),
            "{explained:?}"
        );
    }

    #[test]
    fn a_refusal_outweighs_what_was_said_later() {
        let failures = ConnectionFailures::default();
        let unclear = || Trouble::Unclear("metadata: timed out".to_owned());
        assert_eq!(failures.explain(unclear()), unclear());
        let away = line("ssl://one:1/1", "Connection refused", "CONNECT");
        let refused = line(
            "sasl_ssl://two:2/2",
            "SASL authentication error: no",
            "AUTH_REQ",
        );
        failures.log_line(FACILITY, &away);
        let explained = failures.explain(unclear());
        assert!(
            matches!(&explained, Trouble::Unclear(text) if text.contains("broker one:1: Connection")),
            "{explained:?}"
        );
        failures.log_line(FACILITY, &refused);
        failures.log_line(FACILITY, &away);
        let explained = failures.explain(unclear());
        assert!(
            matches!(&explained, Trouble::Fatal(text) if text.starts_with("broker two:2: SASL")),
            "{explained:?}"
        );
    }
}
