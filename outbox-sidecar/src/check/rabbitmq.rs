mod write_rights;

use super::Findings;
use crate::config::Settings;
use crate::count::counted;
use crate::sink::rabbitmq::{GuardPlace, Objects, QueueFacts, RabbitInspection, RabbitSettings};

/// Looks at RabbitMQ: connection, rights, exchanges of the routes, queues that are named.
pub(super) fn check(settings: &Settings, rabbit: &RabbitSettings, findings: &mut Findings) {
    for place in rabbit.places_in_clear() {
        password_in_clear("rabbitmq", &place, findings);
    }
    let inspection = match RabbitInspection::connect(rabbit) {
        Ok(inspection) => inspection,
        Err(error) => {
            let fix = "check rabbitmq.url, the vhost, the user's rights and the network";
            return findings.error("rabbitmq", error.to_string(), fix);
        }
    };
    findings.ok("rabbitmq", "connected");
    guard(&inspection, rabbit, findings);
    exchanges(&inspection, rabbit, findings);
    let literal = |destination: &&String| !destination.contains('*');
    for destination in settings.destinations.iter().filter(literal) {
        if !rabbit.is_routed(destination) {
            queue(&inspection, rabbit, destination, findings);
        }
    }
    // At the end: with an alarm the broker lets a connection wait once it has published.
    write_rights::look(&inspection, settings, rabbit, findings);
}

/// The queue by which one connection at a time publishes.
fn guard(inspection: &RabbitInspection, rabbit: &RabbitSettings, findings: &mut Findings) {
    let (subject, name) = ("guard", rabbit.guard());
    match inspection.guard_place(rabbit) {
        Ok(GuardPlace::Free | GuardPlace::Guarded) => {}
        Ok(GuardPlace::Taken) => {
            return findings.error(
                subject,
                format!("{name} is a queue that is no guard: no relay can have its own"),
                format!(
                    "rabbitmqctl delete_queue {name}, once you know whose it is; or another relay.name"
                ),
            );
        }
        Err(said) => return findings.error(subject, said, "check the broker's log"),
    }
    match inspection.try_guard(rabbit) {
        Ok(()) => findings.ok(subject, name),
        Err(Objects::ToUser(said)) => findings.error(
            subject,
            said,
            format!(
                "let the user configure '^{name}(-check)?$', beside the rights that it has: rabbitmqctl \
                 set_permissions replaces all three"
            ),
        ),
        Err(Objects::NoAnswer(said)) => {
            findings.error(subject, said, "check the broker's log");
        }
        Err(Objects::ToAnyone(said)) => findings.error(
            subject,
            said,
            format!(
                "ask again, if another check was at it; else: rabbitmqctl delete_queue {name}-check"
            ),
        ),
    }
}

/// Without TLS the password is sent as it is.
pub(super) fn password_in_clear(subject: &'static str, place: &str, findings: &mut Findings) {
    let scheme = match subject {
        "rabbitmq" => "amqps",
        _ => "rabbitmq-stream+tls",
    };
    findings.warning(
        subject,
        format!("to {place} without TLS: whoever listens on the way reads the password"),
        format!("write {scheme}:// in {subject}.url"),
    );
}

fn exchanges(inspection: &RabbitInspection, rabbit: &RabbitSettings, findings: &mut Findings) {
    let mut names: Vec<_> = rabbit.routes.iter().map(|route| &route.exchange).collect();
    names.sort_unstable();
    names.dedup();
    for name in names.into_iter().filter(|name| !name.is_empty()) {
        match inspection.exchange_exists(name) {
            Ok(true) => findings.ok("exchange", name),
            Ok(false) => findings.error(
                "exchange",
                format!("{name} does not exist: the first message to it is refused"),
                format!("rabbitmqadmin declare exchange name={name} type=topic durable=true"),
            ),
            Err(Objects::ToUser(said)) => {
                findings.error("exchange", said, "give the user rights on it");
            }
            Err(Objects::ToAnyone(said) | Objects::NoAnswer(said)) => {
                findings.error("exchange", said, "check the broker's log");
            }
        }
    }
}

fn queue(
    inspection: &RabbitInspection,
    rabbit: &RabbitSettings,
    name: &str,
    findings: &mut Findings,
) {
    let declare = format!(
        "rabbitmqadmin declare queue name={name} durable=true \
         arguments='{{\"x-queue-type\": \"quorum\"}}'"
    );
    match inspection.queue(name) {
        Ok(Some(facts)) => pitfalls(name, &facts, findings),
        Ok(None) if rabbit.create_queues => {
            findings.ok(
                "queue",
                format!("{name} will be made with its first message"),
            );
        }
        Ok(None) => findings.error(
            "queue",
            format!("{name} does not exist: its first message is refused"),
            format!("{declare}, or rabbitmq.create_queues = true"),
        ),
        Err(Objects::ToUser(said)) => {
            findings.warning("queue", said, "give the user rights on it");
        }
        Err(Objects::ToAnyone(said)) => findings.warning(
            "queue",
            said,
            "one that another connection has for itself goes with it: name another queue",
        ),
        Err(Objects::NoAnswer(said)) => {
            findings.warning("queue", said, "check the broker's log");
        }
    }
}

/// Queues that take a message and lose it later, as far as their own arguments tell.
fn pitfalls(name: &str, facts: &QueueFacts, findings: &mut Findings) {
    let argument = |name: &str| facts.arguments.get(name).map(String::as_str);
    let has_dead_letters = argument("x-dead-letter-exchange").is_some();
    let mut clean = true;
    let mut warn = |message: String, fix: &str| {
        clean = false;
        findings.warning("queue", message, fix);
    };
    if facts.durable == Some(false) {
        warn(
            format!("{name} is not durable: a restart of its node loses what it holds"),
            "make it anew, durable and of type quorum",
        );
    }
    if facts.durable == Some(true) && argument("x-queue-type").unwrap_or("classic") == "classic" {
        warn(
            format!("{name} is a classic queue: it lies on one node, and is lost with its disk"),
            "make it anew with x-queue-type quorum, unless this is meant",
        );
    }
    let full = [argument("x-max-length"), argument("x-max-length-bytes")];
    if full.iter().any(Option::is_some)
        && argument("x-overflow").unwrap_or("drop-head") == "drop-head"
    {
        warn(
            format!("{name} drops its oldest messages when it is full"),
            "make it anew with x-overflow reject-publish: the relay waits then; an overflow that a policy sets \
             is not seen here",
        );
    }
    if argument("x-message-ttl").is_some() && !has_dead_letters {
        warn(
            format!("{name} drops messages that are not consumed in time"),
            "make it anew with x-dead-letter-exchange, or without x-message-ttl; dead letters that a policy \
             sets are not seen here",
        );
    }
    if !has_dead_letters {
        match argument("x-delivery-limit") {
            Some(limit) if limit.starts_with('-') => {}
            Some(_) => warn(
                format!("{name} drops a message that was redelivered too often"),
                "make it anew with x-dead-letter-exchange; one that a policy sets is not seen here",
            ),
            None if argument("x-queue-type") == Some("quorum") => warn(
                format!(
                    "{name} drops a message that was redelivered 20 times, from RabbitMQ 4 on: \
                     the limit where x-delivery-limit is not set"
                ),
                "set a dead-letter-exchange by a policy, which is not seen here, or make it anew with \
                 x-dead-letter-exchange",
            ),
            None => {}
        }
    }
    if facts.durable.is_none() {
        warn(
            format!("{name} exists; what kind it is cannot be seen"),
            "give the user the right to configure it, or it a name of less than 100 bytes, if check shall look",
        );
    }
    if clean {
        let messages = counted(facts.messages, "message");
        let consumers = counted(facts.consumers, "consumer");
        let text = format!("{name}: {messages}, {consumers}");
        findings.ok("queue", text);
    }
}
