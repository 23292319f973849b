use std::path::PathBuf;

use url::Url;

use crate::sink::broker_tls::BrokerTls;

fn read(url: &str) -> Result<BrokerTls, String> {
    let url = Url::parse(url).unwrap();
    BrokerTls::read(&url, url.scheme() == "amqps", &["heartbeat"])
}

#[test]
fn parameters_are_those_that_rabbitmqs_own_clients_know() {
    let all = "amqps://mq?cacertfile=/ca.pem&certfile=/c.pem&keyfile=/k.pem\
               &verify=verify_peer&auth_mechanism=EXTERNAL&heartbeat=5";
    let all = read(all).unwrap();
    assert_eq!(all.authorities, Some(PathBuf::from("/ca.pem")));
    assert!(all.is_external && all.identity.is_some());
    assert_eq!(read("amqp://mq").unwrap(), BrokerTls::default());
}

#[test]
fn what_would_protect_less_than_it_seems_is_refused() {
    for url in [
        "amqps://mq?verify=verify_none",
        "amqp://mq?cacertfile=/ca.pem",
        "amqps://mq?certfile=/c.pem",
        "amqps://mq?auth_mechanism=external",
        "amqps://mq?auth_mechanism=anonymous",
        "amqps://mq?password=canary",
    ] {
        let said = read(url).unwrap_err();
        assert!(!said.contains("canary"), "{said}");
    }
}
