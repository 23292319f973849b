//! Whether the user may write to each exchange: else the messages to it would be set aside.

use crate::check::Findings;
use crate::config::Settings;
use crate::sink::rabbitmq::{Objects, RabbitInspection, RabbitSettings};

const SUBJECT: &str = "right to write";

pub(super) fn look(
    inspection: &RabbitInspection,
    settings: &Settings,
    rabbit: &RabbitSettings,
    findings: &mut Findings,
) {
    for (exchange, is_needed) in exchanges(settings, rabbit) {
        match inspection.try_to_write(exchange) {
            Ok(()) => findings.ok(SUBJECT, named(exchange)),
            Err(Objects::ToUser(_)) => refused(exchange, is_needed, findings),
            // That it is missing is said with the exchanges.
            Err(Objects::ToAnyone(_))
                if matches!(inspection.exchange_exists(exchange), Ok(false)) => {}
            Err(Objects::ToAnyone(said)) => {
                findings.error(SUBJECT, said, "name another exchange in the route");
            }
            Err(Objects::NoAnswer(said)) => {
                // Nor will it answer the next time.
                let hint = "nothing is known of it: ask again once that is over";
                return findings.warning(SUBJECT, said, hint);
            }
        }
    }
}

/// Where messages may go, and whether some will for certain.
fn exchanges<'a>(settings: &Settings, rabbit: &'a RabbitSettings) -> Vec<(&'a str, bool)> {
    let routed = rabbit.routes.iter().map(|route| route.exchange.as_str());
    let mut exchanges: Vec<_> = routed.map(|exchange| (exchange, true)).collect();
    // What has no route goes to a queue; for all that a pattern ever meets there may be one.
    let unrouted = settings.destinations.iter();
    let unrouted: Vec<_> = unrouted.filter(|name| !rabbit.is_routed(name)).collect();
    if !unrouted.is_empty() {
        exchanges.push(("", unrouted.iter().any(|name| !name.contains('*'))));
    }
    // Of two alike the one that is certain.
    exchanges.sort_unstable_by_key(|(exchange, is_needed)| (*exchange, !is_needed));
    exchanges.dedup_by_key(|(exchange, _)| *exchange);
    exchanges
}

fn named(exchange: &str) -> &str {
    match exchange {
        "" => "queues, by the default exchange",
        named => named,
    }
}

fn refused(exchange: &str, is_needed: bool, findings: &mut Findings) {
    let right = match exchange {
        "" => "amq.default",
        named => named,
    };
    let what = named(exchange);
    let message = format!("{what} may not be written to: its messages would be set aside");
    let fix = format!(
        "let the user write to '^{}$', beside the rights that it has: rabbitmqctl set_permissions replaces \
         all three",
        right.replace('.', "\\.")
    );
    if is_needed {
        findings.error(SUBJECT, message, fix);
    } else {
        findings.warning(SUBJECT, message, fix);
    }
}
