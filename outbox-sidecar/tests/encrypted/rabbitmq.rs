//! A relay whose way to RabbitMQ is encrypted, and whose certificates are rotated.

use testbed::certificates::Authority;
use testbed::{Program, RabbitEncryption, RabbitServer, wait};

use super::Files;
use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// A user who logs in by a certificate.
const USER: &str = "relay";

fn encryption(servers: &Authority, clients: &Authority) -> RabbitEncryption {
    let certificate = servers.server(&["localhost"]).unwrap();
    RabbitEncryption::new(&certificate, &clients.pem)
}

async fn says(relay: &Program, words: &str) {
    let what = format!("the relay says {words:?}");
    wait::until(&what, DEADLINE, async || {
        relay.stderr().unwrap().contains(words)
    })
    .await
    .unwrap();
}

async fn restart_with(rabbit: &RabbitServer, servers: &Authority, clients: &Authority) {
    rabbit
        .set_encryption(&encryption(servers, clients))
        .unwrap();
    rabbit.stop().await.unwrap();
    rabbit.restart().await.unwrap();
}

/// Both sides get new certificates; the relay's files, and the one with the address, are late.
async fn certificates_are_rotated(is_stream: bool) {
    let servers = Authority::new("the first of the nodes").unwrap();
    let clients = Authority::new("the first of the clients").unwrap();
    let rabbit = RabbitServer::start_encrypted(&encryption(&servers, &clients))
        .await
        .unwrap();
    for arguments in [
        &["add_user", USER, "canary"][..],
        &["set_permissions", USER, ".*", ".*", ".*"][..],
    ] {
        rabbit.control(arguments).await.unwrap();
    }
    let (target, scheme, place) = match is_stream {
        true => (
            Target::stream(&rabbit).await,
            "rabbitmq-stream+tls",
            rabbit.encrypted_stream(),
        ),
        false => (
            Target::queue(&rabbit, "quorum").await,
            "amqps",
            rabbit.amqps(),
        ),
    };
    let files = Files::new();
    let ca = files.write("ca.pem", &servers.pem);
    let (certificate, key) = files.carry(&clients, USER);
    // RabbitMQ 3.10 knows no login by certificate for streams: there it stands beside a password.
    let (user, mechanism) = match is_stream {
        true => ("relay:canary@", ""),
        false => ("", "&auth_mechanism=external"),
    };
    let address = |ca: &str| {
        format!(
            "{scheme}://{user}{place}/%2f?cacertfile={ca}&certfile={certificate}&keyfile={key}\
             {mechanism}"
        )
    };
    let url_file = files.write("address", &address(&ca));
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, target).await;
    let configuration = scenario.configuration();
    let plain = match is_stream {
        true => rabbit.stream_url(),
        false => rabbit.url(),
    };
    let written = format!("url = \"{plain}\"\n");
    assert!(configuration.contains(&written));
    let configuration = configuration.replace(&written, &format!("url_file = \"{url_file}\"\n"));
    scenario.configure(&format!("{configuration}[retry]\ndelay_ms_max = 500\n"));
    scenario.init(&[]).await;
    scenario.check(0).await;
    let relay = scenario.start_active().await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..20).await;
    scenario.drained(&client).await;

    let servers = Authority::new("the second of the nodes").unwrap();
    let clients = Authority::new("the second of the clients").unwrap();
    restart_with(&rabbit, &servers, &clients).await;
    scenario.enqueue(&client, 20..40).await;
    says(&relay, "no authority in cacertfile").await;
    let refused = "no authority in cacertfile";
    let status_says = |status: &serde_json::Value| status.to_string().contains(refused);
    scenario.status_where(refused, status_says).await;
    // Another file, by another address.
    let ca = files.write("second-ca.pem", &servers.pem);
    files.write("address", &address(&ca));
    says(&relay, "it does not accept our certificate").await;
    files.carry(&clients, USER);
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..40).collect::<Vec<_>>());
    assert!(!relay.stderr().unwrap().contains("canary"));
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    // Who is refused from the start ends.
    files.write("address", &address(&files.path("ca.pem")));
    let ran = scenario.run_to_end().await;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains(&place) && ran.stderr.contains(refused));
    assert!(scenario.check(3).await.contains(refused));
}

#[tokio::test]
async fn certificates_are_rotated_under_a_relay_that_publishes_to_queues() {
    certificates_are_rotated(false).await;
}

#[tokio::test]
async fn certificates_are_rotated_under_a_relay_that_publishes_to_streams() {
    certificates_are_rotated(true).await;
}
