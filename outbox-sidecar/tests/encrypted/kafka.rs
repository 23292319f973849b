//! A relay whose way to Kafka is encrypted, and whose certificates and passwords are rotated.

use testbed::certificates::Authority;
use testbed::{KafkaEncryption, KafkaServer, Program, wait};

use super::Files;
use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// A user of the broker, whose password no output may show.
const USER: &str = "relay";
const PASSWORD: &str = "canary";

struct Site {
    server: KafkaServer,
    files: Files,
}

impl Site {
    async fn new() -> Self {
        let servers = Authority::new("the first of the brokers").unwrap();
        let clients = Authority::new("the first of the clients").unwrap();
        let encryption = encryption(&servers, &clients);
        let files = Files::new();
        files.write("ca.pem", &servers.pem);
        files.carry(&clients, USER);
        Self {
            server: KafkaServer::options()
                .encrypted(encryption)
                .start()
                .await
                .unwrap(),
            files,
        }
    }

    /// A scenario whose relay connects to this listener, with these lines more in
    /// `kafka.properties`.
    async fn scenario(&self, delivery: Target, bootstrap: &str, properties: &str) -> Scenario {
        let postgres = testbed::shared_postgres().await.unwrap();
        let scenario = Scenario::to(postgres, delivery).await;
        let servers = format!("\"bootstrap.servers\" = \"{}\"\n", self.server.bootstrap());
        let configuration = scenario.configuration();
        assert!(configuration.contains(&servers));
        let ca = self.files.path("ca.pem");
        let encrypted = format!(
            "\"bootstrap.servers\" = \"{bootstrap}\"\n\"ssl.ca.location\" = \"{ca}\"\n\
             \"transaction.timeout.ms\" = 6000\n{properties}"
        );
        let configuration = configuration.replace(&servers, &encrypted);
        scenario.configure(&format!("{configuration}[retry]\ndelay_ms_max = 500\n"));
        scenario
    }

    async fn restart_with(&self, servers: &Authority, clients: &Authority) {
        let encryption = encryption(servers, clients);
        self.server.set_encryption(&encryption).unwrap();
        self.server.kill().await.unwrap();
        self.server.restart().await.unwrap();
    }

    fn mutual(&self) -> String {
        format!(
            "\"security.protocol\" = \"ssl\"\n\"ssl.certificate.location\" = \"{}\"\n\
             \"ssl.key.location\" = \"{}\"\n",
            self.files.path("relay.crt"),
            self.files.path("relay.key")
        )
    }
}

fn encryption(servers: &Authority, clients: &Authority) -> KafkaEncryption {
    let certificate = servers.server(&["localhost"]).unwrap();
    KafkaEncryption::new(&certificate, &clients.pem).user(USER, PASSWORD)
}

async fn says(relay: &Program, words: &str) {
    let what = format!("the relay says {words:?}");
    wait::until(&what, DEADLINE, async || {
        relay.stderr().unwrap().contains(words)
    })
    .await
    .unwrap();
}

/// Both sides get new certificates one after the other; the relay's files are late.
async fn certificates_are_rotated(at_least_once: bool) {
    let site = Site::new().await;
    let target = match at_least_once {
        true => Target::kafka_at_least_once(site.server.address()).await,
        false => Target::kafka(site.server.address()).await,
    };
    let scenario = site
        .scenario(target, &site.server.mutual_tls(), &site.mutual())
        .await;
    scenario.init(&[]).await;
    scenario.check(0).await;
    let relay = scenario.start_active().await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..20).await;
    scenario.drained(&client).await;

    let servers = Authority::new("the second of the brokers").unwrap();
    let clients = Authority::new("the second of the clients").unwrap();
    site.restart_with(&servers, &clients).await;
    scenario.enqueue(&client, 20..40).await;
    says(
        &relay,
        "has signed it; its issuer is CN=the second of the brokers",
    )
    .await;
    let refused = "its certificate is not accepted";
    let status_says = |status: &serde_json::Value| status.to_string().contains(refused);
    scenario.status_where(refused, status_says).await;
    site.files.write("ca.pem", &servers.pem);
    says(&relay, "it does not accept our certificate").await;
    site.files.carry(&clients, USER);
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..40).collect::<Vec<_>>());
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn certificates_are_rotated_under_a_running_relay() {
    certificates_are_rotated(false).await;
}

#[tokio::test]
async fn certificates_are_rotated_under_a_running_relay_that_publishes_at_least_once() {
    certificates_are_rotated(true).await;
}

#[tokio::test]
async fn a_password_is_rotated_under_a_running_relay_and_verify_uses_it() {
    const MECHANISM: &str = "SCRAM-SHA-512";
    let site = Site::new().await;
    let file = site.files.write("password", &format!("{PASSWORD}\n"));
    let properties = format!(
        "\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"{MECHANISM}\"\n\
         \"sasl.username\" = \"{USER}\"\n"
    );
    let target = Target::kafka(site.server.address()).await;
    let scenario = site
        .scenario(target, &site.server.login(), &properties)
        .await;
    let configuration = std::fs::read_to_string(scenario.file()).unwrap();
    let named = format!("[kafka]\npassword_file = \"{file}\"\n");
    scenario.configure(&configuration.replace("[kafka]\n", &named));
    scenario.init(&[]).await;
    scenario.check(0).await;
    let relay = scenario.start_active().await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..20).await;
    scenario.drained(&client).await;

    let rotated = site.server.set_password(MECHANISM, USER, "canary-2").await;
    rotated.unwrap();
    site.server.kill().await.unwrap();
    site.server.restart().await.unwrap();
    scenario.enqueue(&client, 20..40).await;
    says(&relay, "SASL authentication error").await;
    site.files.write("password", "canary-2\n");
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..40).collect::<Vec<_>>());
    scenario.verified().await;
    assert!(!relay.stderr().unwrap().contains("canary"));
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn who_is_refused_from_the_start_is_told_and_ends() {
    let site = Site::new().await;
    let target = Target::kafka(site.server.address()).await;
    let scenario = site
        .scenario(target, &site.server.mutual_tls(), &site.mutual())
        .await;
    let good = std::fs::read_to_string(scenario.file()).unwrap();
    let by_address = site.server.tls().replace("localhost", "127.0.0.1");
    let login = format!(
        "\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"PLAIN\"\n\
         \"sasl.username\" = \"{USER}\"\n\"sasl.password\" = \"canary-no\"\n"
    );
    let login_at = site.server.login();
    let (ours, mutual) = (site.mutual(), site.server.mutual_tls());
    let only_tls = "\"security.protocol\" = \"ssl\"\n";
    let cases = [
        (mutual.as_str(), only_tls, "it wants a certificate of ours"),
        (by_address.as_str(), only_tls, "it is for localhost"),
        (
            login_at.as_str(),
            login.as_str(),
            "check sasl.username and sasl.password",
        ),
    ];
    let configure = |bootstrap: &str, properties: &str| {
        let text = good.replace(&mutual, bootstrap);
        scenario.configure(&text.replace(&ours, properties));
    };
    let says = |said: &str, bootstrap: &str, words: &str| {
        let port = bootstrap.rsplit_once(':').unwrap().1;
        assert!(
            said.contains(words) && said.contains(port),
            "{words}: {said}"
        );
        assert!(!said.contains("canary"), "{said}");
    };
    for (bootstrap, properties, words) in cases {
        configure(bootstrap, properties);
        let initialised = scenario.command(&["init"], &[]).await;
        assert_eq!(initialised.code, Some(1), "{}", initialised.stderr);
        says(&initialised.stderr, bootstrap, words);
    }
    scenario.configure(&good);
    scenario.init(&[]).await;
    for (bootstrap, properties, words) in cases {
        configure(bootstrap, properties);
        says(&scenario.check(3).await, bootstrap, words);
        let ran = scenario.run_to_end().await;
        assert_eq!(ran.code, Some(1), "{words}: {}", ran.stderr);
        says(&ran.stderr, bootstrap, words);
    }
}
