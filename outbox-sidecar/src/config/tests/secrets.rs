//! What a wrong configuration may hold of a password, and must not repeat.

use super::{GOOD, error, layers, show_json, show_text};

const MARK: &str = "c4nary";

fn rabbit(url: &str) -> String {
    format!(
        "[relay]\nname = \"p\"\n[postgres]\nurl = \"postgres://u@h/d\"\n[rabbitmq]\nurl = \"{url}\"\n"
    )
}

#[test]
fn no_error_repeats_a_part_of_a_broken_address() {
    for url in [
        "amqp:relay:c4nary@mq/%2f",
        "relay:c4nary@mq/%2f",
        "amqp://relay:c4nary",
        "amqp://relay:c4nary@mq:c4nary/%2f",
        "amqp://relay:?c4nary@mq/%2f",
        "amqp://relay:c4nary@mq/%2f?c4nary=c4nary",
        "amqps://relay@mq/%2f?verify=c4nary",
        "amqps://relay@mq/%2f?auth_mechanism=c4nary",
        "amqp://relay:c4nary@mq/%2f?heartbeat=c4nary",
        "rabbitmq-stream:relay:c4nary@mq",
        "rabbitmq-stream://relay:c4nary",
        "rabbitmq-stream://relay:%ffc4nary@mq",
        "rabbitmq-stream://relay:c4nary@mq/c4nary/c4nary",
    ] {
        for text in [
            rabbit(url),
            rabbit(url).replace("rabbitmq]", "rabbitmq_stream]"),
        ] {
            let said = error(&text, &[], &[]);
            assert!(!said.contains(MARK), "{url}: {said}");
        }
    }
}

#[test]
fn no_error_repeats_a_part_of_a_broken_connection_string() {
    for url in [
        "postgres://u:c4nary@",
        "postgres:u:c4nary@h/d",
        "u:c4nary@h/d",
        "postgres://u:c4nary/d",
        "postgres://u:%zzc4nary@h/d",
        "postgres://u:x@c4nary@h/d?sslmode=no",
        "postgres://u:x@c4nary@h/d?c4nary=1",
        "postgres://u:1/c4nary@h/d?user=u",
        "host=h user=u dbname=d password=x c4nary",
        "host=h user=u dbname=d password=x c4nary=1",
        "host=h user=u dbname=d password='c4nary",
        "host=h user=u dbname=d password=c4nary sslmode=no",
        "host=h user=u dbname=d password=c4nary port=c4nary",
    ] {
        let said = error(GOOD, &[("OUTBOX_POSTGRES__URL", url)], &[]);
        assert!(!said.contains(MARK), "{url}: {said}");
    }
}

#[test]
fn a_host_is_never_what_follows_an_at_sign_of_the_password() {
    for url in [
        "postgres://u:x@c4nary@h/d",
        "postgres://u:1/c4nary@h?user=u",
    ] {
        let said = error(GOOD, &[("OUTBOX_POSTGRES__URL", url)], &[]);
        assert!(said.contains("%40") && !said.contains(MARK), "{said}");
    }
}

#[test]
fn no_error_repeats_what_was_written_in_the_place_of_something_else() {
    let flags = [
        ("postgres://u:c4nary@h/d?sslmode", "require"),
        ("kafka.postgres://u:c4nary@h/d?sslmode", "require"),
        ("postgres.url_file", "postgres://u:c4nary@h/d"),
    ];
    for (key, value) in flags {
        let text = GOOD.replace(
            "url = \"postgres://relay:hidden@db/app\"\n",
            if key.ends_with("url_file") {
                ""
            } else {
                "url = \"postgres://u@h/d\"\n"
            },
        );
        let said = error(&text, &[], &[(key, value)]);
        assert!(!said.contains(MARK), "{key}: {said}");
    }
    for line in [
        "url = postgres://u:c4nary@h/d",
        "url = c4nary",
        "url = \"c4nary",
        "url = 'c4nary\"",
        "url = \"\\c4nary\"",
        "url = \"postgres://u@h/d\" c4nary",
        "url = [\"c4nary\"",
        "url = { password = \"c4nary\" ",
        "url = { password = \"c4nary\" }",
        "url = [\"c4nary\"]",
        "password = \"c4nary\"",
    ] {
        let said = error(
            &format!("[relay]\nname = \"p\"\n[postgres]\n{line}\n[stdout]\n"),
            &[],
            &[],
        );
        assert!(!said.contains(MARK), "{line}: {said}");
    }
}

#[test]
fn show_masks_what_it_does_not_understand() {
    for url in [
        "postgres://u:c4nary@h/d",
        "postgres://u:c4@nary/c4nary@h/d",
        "postgres://u:c4nary/d",
        "u:c4nary@h/d",
        "postgres:u:c4nary@h/d",
        "postgres://u@h/d?%70assword=c4nary",
        "postgres://u@h/d?pasword=c4nary",
        "postgres://u@h/d?sslpassword=c4nary",
        "postgres://u@h/d?sslmode=require&c4nary",
        "host=h user=u PASSWORD=c4nary",
        "host=h user=u pasword=c4nary",
        "host=h user=u password = c4nary",
        "host=h user='u' c4nary",
        "c4nary",
    ] {
        for key in [
            "postgres.url",
            "rabbitmq.url",
            "rabbitmq.urls",
            "rabbitmq_stream.urls",
        ] {
            let (_file, read) = layers(GOOD, &[], &[(key, url)]);
            let read = read.unwrap();
            let (text, json) = (show_text(&read), show_json(&read).to_string());
            assert!(!text.contains(MARK), "{key} {url}: {text}");
            assert!(!json.contains(MARK), "{key} {url}: {json}");
        }
    }
    for (key, value) in [
        ("kafka.properties.sasl.password", "c4nary"),
        ("kafka.properties.sasl.pasword", "c4nary"),
        ("kafka.properties.sasl_password", "c4nary"),
        ("kafka.properties.ssl.key.passwd", "c4nary"),
        ("kafka.properties.ssl.key.pem", "c4nary"),
        ("kafka.properties.sasl.oauthbearer.config", "c4nary"),
        ("kafka.properties.sasl.oauthbearer.client.secret", "c4nary"),
        (
            "kafka.properties.sasl.oauthbearer.assertion.private.key.passphrase",
            "c4nary",
        ),
        (
            "kafka.properties.sasl.kerberos.kinit.cmd",
            "echo c4nary | kinit",
        ),
        (
            "kafka.properties.sasl.oauthbearer.token.endpoint.url",
            "https://c:c4nary@h/t",
        ),
        ("postgres.url_file", "postgres://u:c4nary@h/d"),
        ("rabbitmq.url_file", "amqp://u:c4nary@h/d"),
    ] {
        let (_file, read) = layers(GOOD, &[], &[(key, value)]);
        let read = read.unwrap();
        let (text, json) = (show_text(&read), show_json(&read).to_string());
        assert!(!text.contains(MARK), "{key}: {text}");
        assert!(!json.contains(MARK), "{key}: {json}");
    }
}

#[test]
fn show_keeps_what_says_which_server_is_meant() {
    for (written, shown) in [
        (
            "postgres://u:p@ss@h:1,[::1]:2/d?sslmode=require",
            "postgres://u:********@h:1,[::1]:2/d?sslmode=require",
        ),
        ("postgres://u@h/d", "postgres://u@h/d"),
        (
            "postgres://%2Frun%2Fpg/d?user=u",
            "postgres://%2Frun%2Fpg/d?user=u",
        ),
        (
            "host=h user=u dbname=d sslrootcert=/ca.pem",
            "host=h user=u dbname=d sslrootcert=/ca.pem",
        ),
    ] {
        let (_file, read) = layers(GOOD, &[], &[("postgres.url", written)]);
        let json = show_json(&read.unwrap());
        assert_eq!(json["postgres.url"]["value"], shown);
    }
}
