//! Passwords and keys for Kafka.

use testbed::certificates::Authority;
use testbed::{KafkaEncryption, KafkaServer};

use super::{commands_are_silent, relay_is_silent};
use crate::encrypted::Files;
use crate::scenario::Scenario;
use crate::target::Target;

const PASSWORD: &str = "c4nary-right";

#[tokio::test]
async fn nothing_shows_a_password_or_a_key_for_kafka() {
    let authority = Authority::new("of all").unwrap();
    let certificate = authority.server(&["localhost"]).unwrap();
    let encryption = KafkaEncryption::new(&certificate, &authority.pem).user("relay", PASSWORD);
    let server = KafkaServer::options()
        .encrypted(encryption)
        .start()
        .await
        .unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, Target::kafka(server.address()).await).await;
    let files = Files::new();
    let ca = files.write("ca.pem", &authority.pem);
    let other = files.write("other.pem", &Authority::new("of nobody").unwrap().pem);
    let own = files.carry(&authority, "relay");
    let key = std::fs::read_to_string(&own.1).unwrap();
    let body: Vec<_> = key.lines().skip(1).take(1).collect();
    let (right, wrong, odd) = (
        files.write("right", &format!("{PASSWORD}\n")),
        files.write("wrong", "c4nary-wrong\n"),
        files.write("odd", "c4nary\0odd\n"),
    );
    // Everything that librdkafka can tell.
    let login = |ca: &str, more: &str| {
        format!(
            "\"debug\" = \"all\"\n\"security.protocol\" = \"sasl_ssl\"\n\
             \"sasl.mechanism\" = \"SCRAM-SHA-256\"\n\"sasl.username\" = \"relay\"\n\
             \"ssl.ca.location\" = \"{ca}\"\n{more}\n"
        )
    };
    let by_password = |password: &str| login(&ca, &format!("\"sasl.password\" = \"{password}\""));
    let by_key = |key: &str| {
        format!(
            "\"debug\" = \"all\"\n\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"{ca}\"\n\
             \"ssl.certificate.location\" = \"{}\"\n\"ssl.key.pem\" = '''{key}'''\n\
             \"ssl.key.password\" = \"c4nary-key\"\n",
            own.0
        )
    };
    let plain = |password: &str| by_password(password).replace("SCRAM-SHA-256", "PLAIN");
    let by_file = |file: &str| format!("{}[kafka]\npassword_file = \"{file}\"\n", login(&ca, ""));
    let good = scenario.configuration();
    let written = format!("\"bootstrap.servers\" = \"{}\"\n", server.bootstrap());
    assert!(good.contains(&written));
    let configure = |bootstrap: &str, properties: &str| {
        // A file beside the properties stands in the section above them.
        let (properties, file) = properties
            .split_once("[kafka]\n")
            .unwrap_or((properties, ""));
        let here = format!("\"bootstrap.servers\" = \"{bootstrap}\"\n{properties}");
        let text = good
            .replace(&written, &here)
            .replace("[kafka]\n", &format!("[kafka]\n{file}"));
        scenario.configure(&format!("{text}[retry]\ndelay_ms_max = 500\n"));
    };
    let (sasl, mutual) = (server.login(), server.mutual_tls());
    configure(&sasl, &by_password(PASSWORD));
    scenario.init(&[]).await;
    let mut otherwise = Vec::new();
    for (what, bootstrap, properties, code) in [
        ("a password", sasl.as_str(), by_password(PASSWORD), None),
        ("a password in clear", &sasl, plain(PASSWORD), None),
        ("a password in a file", &sasl, by_file(&right), None),
        (
            "a wrong password",
            &sasl,
            by_password("c4nary-wrong"),
            Some(1),
        ),
        (
            "a wrong password in clear",
            &sasl,
            plain("c4nary-wrong"),
            Some(1),
        ),
        (
            "a wrong password in a file",
            &sasl,
            by_file(&wrong),
            Some(1),
        ),
        ("a password with a zero byte", &sasl, by_file(&odd), Some(2)),
        (
            "a listener without logins",
            &server.tls(),
            by_password(PASSWORD),
            Some(1),
        ),
        (
            "a certificate that is refused",
            &sasl,
            login(&other, &format!("\"sasl.password\" = \"{PASSWORD}\"")),
            Some(1),
        ),
        ("nobody there", "127.0.0.1:1", by_password(PASSWORD), None),
        ("a key", &mutual, by_key(&key), None),
        ("a broken key", &mutual, by_key("c4nary"), Some(1)),
        (
            "an unknown property",
            &sasl,
            login(&ca, "\"sasl.pasword\" = \"c4nary\""),
            Some(2),
        ),
        (
            "an unknown mechanism",
            &sasl,
            by_password(PASSWORD).replace("SCRAM-SHA-256", "NONE"),
            Some(1),
        ),
    ] {
        configure(bootstrap, &properties);
        commands_are_silent(&scenario, what, &body).await;
        let ended = relay_is_silent(&scenario, what, &body).await;
        if ended != code {
            otherwise.push((what, ended));
        }
    }
    assert!(otherwise.is_empty(), "other exit codes: {otherwise:?}");
}
