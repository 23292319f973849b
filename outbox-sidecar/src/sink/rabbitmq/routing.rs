//! Where a message goes: which exchange, with which routing key.

use outbox_core::OutboxRow;
use outbox_core::sink::RefusalReason;

use super::RabbitSettingsError;

/// The longest name that AMQP can carry, in bytes.
pub(super) const SHORT_STRING_BYTES_MAX: usize = 255;

/// A rule for destinations: the first that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which destinations; `*` stands for anything.
    pub destination: String,
    /// The exchange; empty is the default exchange, whose routing keys are names of queues.
    pub exchange: String,
    /// The routing key, in which `{destination}`, `{type}` and `{key}` stand for the row's own.
    pub routing_key: String,
}

/// All routes, ready for use. A destination that none matches is a queue's name.
#[derive(Clone, Debug)]
pub(super) struct Routing {
    routes: Vec<(String, String, Vec<Part>)>,
}

/// Where one message goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) exchange: String,
    pub(super) routing_key: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Destination,
    Type,
    Key,
}

impl Routing {
    pub(super) fn new(routes: &[Route]) -> Result<Self, RabbitSettingsError> {
        let ready = |(number, route): (usize, &Route)| {
            let bad = |what: String| RabbitSettingsError::Route { number, what };
            if route.exchange.len() > SHORT_STRING_BYTES_MAX {
                return Err(bad(
                    "the exchange's name is longer than 255 bytes".to_owned()
                ));
            }
            let parts = parse(&route.routing_key).map_err(bad)?;
            Ok((route.destination.clone(), route.exchange.clone(), parts))
        };
        let routes = routes.iter().enumerate().map(ready);
        Ok(Self {
            routes: routes.collect::<Result<_, _>>()?,
        })
    }

    /// Where this row goes, or why it can go nowhere.
    pub(super) fn target(&self, row: &OutboxRow) -> Result<Target, (RefusalReason, String)> {
        let matching = self
            .routes
            .iter()
            .find(|(pattern, _, _)| matches(pattern, &row.destination));
        let target = match matching {
            None => Target {
                exchange: String::new(),
                routing_key: row.destination.to_string(),
            },
            Some((_, exchange, parts)) => Target {
                exchange: exchange.clone(),
                routing_key: fill(parts, row)?,
            },
        };
        if target.routing_key.len() > SHORT_STRING_BYTES_MAX {
            let bytes = target.routing_key.len();
            return Err((
                RefusalReason::DestinationInvalid,
                format!("the routing key has {bytes} bytes, AMQP allows 255"),
            ));
        }
        Ok(target)
    }
}

fn fill(parts: &[Part], row: &OutboxRow) -> Result<String, (RefusalReason, String)> {
    let mut text = String::new();
    for part in parts {
        text.push_str(match part {
            Part::Text(text) => text,
            Part::Destination => &row.destination,
            Part::Type => &row.message_type,
            Part::Key => row.key.as_ref().ok_or_else(|| {
                (
                    RefusalReason::DestinationInvalid,
                    "its route needs a key, and the message has none".to_owned(),
                )
            })?,
        });
    }
    Ok(text)
}

fn parse(template: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("routing_key {template:?}: {{ without }}"))?;
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(match name {
            "destination" => Part::Destination,
            "type" => Part::Type,
            "key" => Part::Key,
            other => {
                return Err(format!(
                    "routing_key {template:?}: {{{other}}} is not known; use {{destination}}, \
                     {{type}} or {{key}}"
                ));
            }
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

/// Whether a text is what the pattern says: itself, but for `*`, which stands for anything.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        // The leftmost place leaves the most for what follows.
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use outbox_core::Timestamp;

    use super::*;

    fn row(destination: &str, key: Option<&str>) -> OutboxRow {
        OutboxRow {
            id: "0190d8a6-0000-7000-8000-000000000001".parse().unwrap(),
            destination: destination.into(),
            key: key.map(Into::into),
            message_type: "PolicyIssued".into(),
            content_type: "application/json".into(),
            payload: None,
            headers: "{}".into(),
            created_at: Timestamp::default(),
        }
    }

    fn routing(routes: &[(&str, &str, &str)]) -> Result<Routing, RabbitSettingsError> {
        let route = |(destination, exchange, routing_key): &(&str, &str, &str)| Route {
            destination: (*destination).to_owned(),
            exchange: (*exchange).to_owned(),
            routing_key: (*routing_key).to_owned(),
        };
        Routing::new(&routes.iter().map(route).collect::<Vec<_>>())
    }

    fn target(routing: &Routing, destination: &str) -> (String, String) {
        let target = routing.target(&row(destination, Some("7"))).unwrap();
        (target.exchange, target.routing_key)
    }

    #[test]
    fn without_a_route_a_destination_is_a_queue() {
        let routing = routing(&[]).unwrap();
        assert_eq!(
            target(&routing, "reports"),
            (String::new(), "reports".into())
        );
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let routing = routing(&[
            ("policy-*", "policy", "{type}.{key}"),
            ("*", "all", "x.{destination}"),
        ])
        .unwrap();
        let expected = ("policy".into(), "PolicyIssued.7".into());
        assert_eq!(target(&routing, "policy-events"), expected);
        assert_eq!(
            target(&routing, "claims"),
            ("all".into(), "x.claims".into())
        );
    }

    #[test]
    fn a_row_that_lacks_what_its_route_needs_is_refused() {
        let routing = routing(&[("*", "all", "{key}")]).unwrap();
        let (reason, _) = routing.target(&row("a", None)).unwrap_err();
        assert_eq!(reason, RefusalReason::DestinationInvalid);
        assert!(routing.target(&row("a", Some(&"k".repeat(255)))).is_ok());
        assert!(routing.target(&row("a", Some(&"k".repeat(256)))).is_err());
    }

    #[test]
    fn a_template_that_says_nothing_known_is_refused() {
        for (template, text) in [("{typ}", "{typ}"), ("{type", "without }")] {
            let error = routing(&[("*", "all", template)]).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn patterns_mean_themselves_but_for_the_star() {
        for (pattern, text) in [
            ("*", ""),
            ("a", "a"),
            ("a*", "a"),
            ("*a", "ba"),
            ("a*b*c", "aXbYbc"),
            ("a**c", "ac"),
            ("a.*", "a.b"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "b"),
            ("a*", "ba"),
            ("a*b", "abc"),
            ("a*b*c", "acb"),
            ("ab*ba", "aba"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
