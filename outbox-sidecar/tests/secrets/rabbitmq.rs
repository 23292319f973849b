//! Passwords and keys for RabbitMQ, its queues and its streams.

use testbed::certificates::Authority;
use testbed::{RabbitEncryption, RabbitServer};

use super::{commands_are_silent, relay_is_silent};
use crate::encrypted::Files;
use crate::scenario::Scenario;
use crate::target::Target;

async fn nothing_shows(is_stream: bool) {
    let authority = Authority::new("of all").unwrap();
    let certificate = authority.server(&["localhost"]).unwrap();
    let encryption = RabbitEncryption::new(&certificate, &authority.pem);
    let rabbit = RabbitServer::start_encrypted(&encryption).await.unwrap();
    for arguments in [
        &["add_user", "relay", "c4nary /@:right"][..],
        &["set_permissions", "relay", ".*", ".*", ".*"],
    ] {
        rabbit.control(arguments).await.unwrap();
    }
    let right = "c4nary%20%2F%40%3Aright";
    let (target, plain, address, encrypted) = match is_stream {
        true => (
            Target::stream(&rabbit).await,
            rabbit.stream_url(),
            rabbit.stream_url_of("relay", right, "%2f"),
            format!(
                "rabbitmq-stream+tls://relay:{right}@{}/%2f",
                rabbit.encrypted_stream()
            ),
        ),
        false => (
            Target::queue(&rabbit, "quorum").await,
            rabbit.url(),
            rabbit.url_of("relay", right, "%2f"),
            format!("amqps://relay:{right}@{}/%2f", rabbit.amqps()),
        ),
    };
    let files = Files::new();
    let ca = files.write("ca.pem", &authority.pem);
    let other = files.write("other.pem", &Authority::new("of nobody").unwrap().pem);
    let own = files.carry(&authority, "relay");
    let key = std::fs::read_to_string(&own.1).unwrap();
    let body: Vec<_> = key.lines().skip(1).take(1).collect();
    let in_file = files.write("url", &format!("{address}\n"));
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, target).await;
    let good = scenario.configuration();
    let written = format!("url = \"{plain}\"\n");
    assert!(good.contains(&written));
    let configure = |line: &str| {
        let text = good.replace(&written, &format!("{line}\n"));
        scenario.configure(&format!("{text}[retry]\ndelay_ms_max = 500\n"));
    };
    let by_url = |url: &str| format!("url = \"{url}\"");
    let with = |ca: &str, key: &str| {
        by_url(&format!(
            "{encrypted}?cacertfile={ca}&certfile={}&keyfile={key}",
            own.0
        ))
    };
    configure(&by_url(&address));
    scenario.init(&[]).await;
    let (scheme, rest) = address.split_once("://").unwrap();
    let nobody = format!("{scheme}://relay:{right}@127.0.0.1:1/%2f");
    let mut otherwise = Vec::new();
    for (what, line, code) in [
        ("a URL", by_url(&address), None),
        ("a URL in a file", format!("url_file = \"{in_file}\""), None),
        (
            "several URLs",
            format!("urls = [\"{nobody}\", \"{address}\"]"),
            None,
        ),
        ("TLS", with(&ca, &own.1), None),
        (
            "a certificate that is refused",
            with(&other, &own.1),
            Some(1),
        ),
        ("a file that is no key", with(&ca, &ca), Some(1)),
        ("a key as the authority", with(&own.1, &own.1), Some(1)),
        (
            "a wrong password",
            by_url(&address.replace("right", "wrong")),
            Some(1),
        ),
        (
            "no vhost",
            by_url(&address.replace("/%2f", "/none")),
            Some(1),
        ),
        ("nobody there", by_url(&nobody), None),
        ("no slashes", by_url(&format!("{scheme}:{rest}")), Some(2)),
        ("no scheme", by_url(rest), Some(2)),
        (
            "an unknown parameter",
            by_url(&format!("{address}?c4nary=c4nary")),
            Some(2),
        ),
        (
            "a URL in place of a file",
            format!("url_file = \"{address}\""),
            Some(2),
        ),
        (
            "a list in place of a URL",
            format!("url = [\"{address}\"]"),
            Some(2),
        ),
    ] {
        configure(&line);
        commands_are_silent(&scenario, what, &body).await;
        let ended = relay_is_silent(&scenario, what, &body).await;
        if ended != code {
            otherwise.push((what, ended));
        }
    }
    assert!(otherwise.is_empty(), "other exit codes: {otherwise:?}");
}

#[tokio::test]
async fn nothing_shows_a_password_or_a_key_for_queues() {
    nothing_shows(false).await;
}

#[tokio::test]
async fn nothing_shows_a_password_or_a_key_for_streams() {
    nothing_shows(true).await;
}
