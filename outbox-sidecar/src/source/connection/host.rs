use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use super::AddressError;
use super::parameters::Parameters;
use crate::source::SourceError;

/// PostgreSQL's own port.
const PORT: u16 = 5432;

/// One of an address's hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostAddress {
    pub(super) place: Place,
    pub(super) port: u16,
    /// The name that was asked for: what a certificate must be for.
    pub(super) name: Option<String>,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The directory of a unix socket.
    Socket(PathBuf),
    /// A name to be looked up, or an address.
    Network(String),
}

impl HostAddress {
    /// Why nobody was reached here.
    pub(super) fn unreachable(&self, source: io::Error) -> SourceError {
        let (port, place) = (self.port, &self.place);
        let place = match (place, &self.name) {
            (Place::Socket(directory), _) => {
                format!("{}, port {port}", directory.display())
            }
            // Looked up by nobody: both were given.
            (Place::Network(address), Some(name)) if name != address => {
                format!("{name} ({address}), port {port}")
            }
            (Place::Network(name), _) => format!("{name}, port {port}"),
        };
        SourceError::Unreachable { place, source }
    }
}

/// The hosts to try, in their order.
pub(super) fn hosts(parameters: &Parameters) -> Result<Vec<HostAddress>, AddressError> {
    let names = parameters.list("host");
    let addresses = parameters.list("hostaddr");
    let ports = parameters.list("port");
    let count = names.len().max(addresses.len());
    if count == 0 {
        return Err(AddressError::Missing("host"));
    }
    let bad = |keyword, expected: &str| parameters.bad(keyword, expected);
    for (keyword, list) in [("host", &names), ("hostaddr", &addresses)] {
        if !list.is_empty() && list.len() != count {
            return Err(bad(keyword, "as many entries in host as in hostaddr"));
        }
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(bad("port", "one port, or one for each host"));
    }
    let entry = |list: &[&str], number: usize| {
        let entry = list.get(number).copied();
        entry.filter(|entry| !entry.is_empty()).map(str::to_owned)
    };
    (0..count)
        .map(|number| {
            let name = entry(&names, number);
            let address = entry(&addresses, number);
            if let Some(address) = &address
                && address.parse::<IpAddr>().is_err()
            {
                return Err(bad("hostaddr", "IP addresses; names belong into host"));
            }
            // A numeric address spares the look-up of the name beside it.
            let place = match (address, &name) {
                (Some(address), _) => Place::Network(address),
                (None, Some(name)) if name.starts_with('/') => Place::Socket(PathBuf::from(name)),
                (None, Some(name)) if name.starts_with('@') => {
                    return Err(bad("host", "a name, an address or a directory"));
                }
                (None, Some(name)) => Place::Network(name.clone()),
                (None, None) => return Err(AddressError::Missing("host")),
            };
            let port =
                entry(&ports, number).or_else(|| entry(&ports, 0).filter(|_| ports.len() == 1));
            let port = port.map_or(Ok(PORT), |port| port.parse());
            Ok(HostAddress {
                place,
                port: port
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| bad("port", "a number from 1 to 65535"))?,
                name,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::connection::Surroundings;

    fn parameters(text: &str) -> Parameters {
        Parameters::read(text, &Surroundings::default()).unwrap()
    }

    fn places(text: &str) -> Vec<(String, u16)> {
        let hosts = hosts(&parameters(text)).unwrap();
        let shown = |host: HostAddress| match host.place {
            Place::Socket(directory) => (directory.display().to_string(), host.port),
            Place::Network(name) => (name, host.port),
        };
        hosts.into_iter().map(shown).collect()
    }

    #[test]
    fn hosts_are_tried_in_their_order_with_their_ports() {
        let at = |place: &str, port| (place.to_owned(), port);
        assert_eq!(places("postgres://u@a:1,b:2/d"), [at("a", 1), at("b", 2)]);
        assert_eq!(places("postgres://u@a,b:2/d"), [at("a", PORT), at("b", 2)]);
        assert_eq!(places("host=a,b port=7"), [at("a", 7), at("b", 7)]);
        assert_eq!(places("postgres://u@[::1]:6/d"), [at("::1", 6)]);
        assert_eq!(places("hostaddr=127.0.0.1"), [at("127.0.0.1", PORT)]);
        assert_eq!(
            places("host=a,b hostaddr=::1,127.0.0.1 port=1,2"),
            [at("::1", 1), at("127.0.0.1", 2)]
        );
        assert_eq!(places("host=/run/pg port=7"), [at("/run/pg", 7)]);
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        for text in [
            "",
            "host=a,",
            "host=a hostaddr=b",
            "host=a,b hostaddr=::1",
            "host=a,b port=1,2,3",
            "host=a port=0",
            "host=a port=65536",
            "host=@abstract",
        ] {
            assert!(hosts(&parameters(text)).is_err(), "{text}");
        }
    }
}
