//! Passwords for PostgreSQL.

use testbed::PostgresServer;
use testbed::certificates::Authority;

use super::{TRACE, assert_silent, commands_are_silent, relay_is_silent};
use crate::encrypted::Files;
use crate::scenario::Scenario;

/// With every sign that a URL or a keyword string reserves.
const PASSWORD: &str = "c4nary @/:?&#%'\\ end";
const ENCODED: &str = "c4nary%20%40%2F%3A%3F%26%23%25%27%5C%20end";
const QUOTED: &str = r"'c4nary @/:?&#%\'\\ end'";

#[tokio::test]
async fn nothing_shows_a_password_for_postgresql() {
    let server = PostgresServer::options()
        .hba("host all relay 127.0.0.1/32 scram-sha-256")
        .hba("host all boss 127.0.0.1/32 scram-sha-256")
        .start()
        .await
        .unwrap();
    let authority = Authority::new("of the server").unwrap();
    let certificate = authority.server(&["localhost"]).unwrap();
    server.serve_tls(&certificate).await.unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(server.address(), kafka).await;
    let admin = scenario.database_url.clone();
    scenario
        .init(&["--admin-url", &admin, "--relay-role", "relay"])
        .await;
    let client = scenario.client().await;
    let sql = format!(
        "alter role relay password '{}'",
        PASSWORD.replace('\'', "''")
    );
    client
        .batch_execute(&format!("set standard_conforming_strings = on; {sql}"))
        .await
        .unwrap();

    let files = Files::new();
    let (port, database) = (server.address().port(), admin.rsplit('/').next().unwrap());
    let ca = files.write("ca.pem", &authority.pem);
    let other = Authority::new("of nobody").unwrap();
    let other = files.write("other.pem", &other.pem);
    let own = files.carry(&authority, "relay");
    let key = std::fs::read_to_string(&own.1).unwrap();
    let key: Vec<_> = key.lines().skip(1).take(1).collect();
    let (right, wrong) = (
        files.write("right", &format!("{PASSWORD}\n")),
        files.write("wrong", "c4nary-wrong\n"),
    );
    let place = format!("localhost:{port}/{database}");
    let url = format!("postgres://relay:{ENCODED}@{place}");
    let words = format!("host=localhost port={port} user=relay dbname={database}");
    let url_file = files.write("url", &format!("{url}\n"));
    let service = files.write(
        "services",
        &format!("[app]\nhost=localhost\nport={port}\nuser=relay\npassword=c4nary\nc4nary=1\n"),
    );
    let configure = |section: &str| {
        let written = format!("url = \"{admin}\"\n");
        let configuration = scenario.configuration();
        assert!(configuration.contains(&written));
        let configuration = configuration.replace(&written, section);
        scenario.configure(&format!("{configuration}[retry]\ndelay_ms_max = 500\n"));
    };
    let by_url = |url: &str| format!("url = '''{url}'''\n");
    let by_file =
        |file: &str| format!("url = \"postgres://relay@{place}\"\npassword_file = \"{file}\"\n");
    let encrypted = |file: &str| {
        by_url(&format!(
            "{url}?sslmode=verify-full&sslrootcert={file}&sslcert={}&sslkey={}",
            own.0, own.1
        ))
    };
    let mut otherwise = Vec::new();
    for (what, section, code) in [
        ("a URL", by_url(&url), None),
        (
            "keywords",
            by_url(&format!("{words} password={QUOTED}")),
            None,
        ),
        (
            "a URL in a file",
            format!("url_file = \"{url_file}\"\n"),
            None,
        ),
        ("a password in a file", by_file(&right), None),
        ("TLS", encrypted(&ca), None),
        ("a certificate that is refused", encrypted(&other), Some(1)),
        ("a key as the authority", encrypted(&own.1), Some(1)),
        (
            "a wrong password",
            by_url(&url.replace("end", "no")),
            Some(1),
        ),
        ("a wrong password in a file", by_file(&wrong), Some(1)),
        ("no database", by_url(&format!("{url}-none")), None),
        (
            "nobody there",
            by_url(&url.replace(&place, "127.0.0.1:1/d")),
            None,
        ),
        (
            "no such host",
            by_url(&url.replace("localhost", "host.invalid")),
            None,
        ),
        (
            "an unknown keyword",
            by_url(&format!("{words} password={QUOTED} c4nary=1")),
            Some(2),
        ),
        (
            "an unknown parameter",
            by_url(&format!("{url}?c4nary=1")),
            Some(2),
        ),
        (
            "a password with a raw @",
            by_url(&format!("postgres://relay:x@c4nary@{place}")),
            Some(2),
        ),
        (
            "a password with a raw slash",
            by_url(&format!("postgres://relay:1/c4nary@{place}")),
            Some(2),
        ),
        (
            "a broken encoding",
            by_url(&format!("postgres://relay:c4nary%@{place}")),
            Some(2),
        ),
        (
            "a URL in place of a file",
            format!("url_file = \"{url}\"\n"),
            Some(2),
        ),
        (
            "a broken service",
            by_url(&format!("service=app servicefile={service}")),
            Some(2),
        ),
    ] {
        configure(&section);
        commands_are_silent(&scenario, what, &key).await;
        let ended = relay_is_silent(&scenario, what, &key).await;
        if ended != code {
            otherwise.push((what, ended));
        }
    }
    assert!(otherwise.is_empty(), "other exit codes: {otherwise:?}");
    // The last of them was no configuration at all.
    configure(&by_url(&url));
    administrators_log_in_silently(&scenario, &files, &admin, port).await;
}

/// The address of an administrator need not hold the password, which the list of processes would show.
async fn administrators_log_in_silently(
    scenario: &Scenario,
    files: &Files,
    admin: &str,
    port: u16,
) {
    let client = scenario.client().await;
    client
        .batch_execute("create role boss superuser login password 'c4nary-boss'")
        .await
        .unwrap();
    let passwords = files.write("pgpass", &format!("*:{port}:*:boss:c4nary-boss\n"));
    let database = admin.rsplit('/').next().unwrap();
    let url = format!("postgres://boss@127.0.0.1:{port}/{database}");
    for command in [&["init"][..], &["remove", "--yes"]] {
        let arguments = [command, &["--admin-url", &url, "--set", TRACE]].concat();
        let ran = scenario
            .command(&arguments, &[("PGPASSFILE", passwords.as_str())])
            .await;
        assert_eq!(ran.code, Some(0), "{command:?}: {}", ran.stderr);
        let what = format!("{command:?} of an administrator");
        assert_silent(&what, &format!("{}{}", ran.stdout, ran.stderr), &[]);
    }
}
