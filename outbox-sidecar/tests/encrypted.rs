//! A relay whose ways to PostgreSQL and to its broker are encrypted, and whose certificates are
//! rotated.

mod kafka;
mod rabbitmq;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use testbed::certificates::Authority;
use testbed::{PostgresServer, unique, wait};
use tokio_postgres::Client;

use crate::scenario::{DEADLINE, Scenario};

/// Files of the relay's that nobody else may read; gone with it.
pub(crate) struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Files {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(unique::name("tls"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A new certificate and key of this user.
    pub(crate) fn carry(&self, authority: &Authority, user: &str) -> (String, String) {
        let certificate = authority.client(user).unwrap();
        let key = self.write(&format!("{user}.key"), &certificate.key_pem);
        (self.write(&format!("{user}.crt"), &certificate.pem), key)
    }
}

/// A server that lets the role `relay` in with TLS only, by this method.
struct Site {
    server: PostgresServer,
    authority: Authority,
    files: Files,
}

impl Site {
    async fn new(method: &str) -> Self {
        let server = PostgresServer::options()
            .hba(&format!("hostssl all relay 127.0.0.1/32 {method}"))
            .hba("host all relay 127.0.0.1/32 reject");
        let site = Self {
            server: server.start().await.unwrap(),
            authority: Authority::new("the first of the servers").unwrap(),
            files: Files::new(),
        };
        site.serve(&site.authority).await;
        site.write("ca.pem", &site.authority.pem);
        site
    }

    async fn serve(&self, authority: &Authority) {
        let certificate = authority.server(&["localhost"]).unwrap();
        self.server.serve_tls(&certificate).await.unwrap();
    }

    /// Lets the relay's role in by certificates of this authority only.
    async fn accept(&self, authority: &Authority, admin: &Client) {
        self.server.set_file("clients.crt", &authority.pem).unwrap();
        let sql = "alter system set ssl_ca_file = 'clients.crt'";
        admin.batch_execute(sql).await.unwrap();
        self.server.reload().await.unwrap();
    }

    fn write(&self, name: &str, text: &str) -> String {
        self.files.write(name, text)
    }

    fn carry(&self, authority: &Authority) -> (String, String) {
        self.files.carry(authority, "relay")
    }

    /// An outbox that is set up for the role `relay`.
    async fn scenario(&self) -> Scenario {
        let kafka = testbed::shared_kafka().await.unwrap();
        let scenario = Scenario::new(self.server.address(), kafka).await;
        let admin = scenario.database_url.clone();
        scenario
            .init(&["--admin-url", &admin, "--relay-role", "relay"])
            .await;
        scenario
    }
}

fn database(scenario: &Scenario) -> &str {
    scenario.database_url.rsplit('/').next().unwrap()
}

/// How many connections the relay has, and that each is encrypted.
async fn connections(client: &Client) -> i64 {
    let sql = "select count(*), coalesce(bool_and(ssl), true) from pg_stat_ssl \
               join pg_stat_activity using (pid) where usename = 'relay'";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert!(row.get::<_, bool>(1), "a connection without TLS");
    row.get(0)
}

#[tokio::test]
async fn certificates_are_rotated_under_a_running_relay() {
    let site = Site::new("cert").await;
    let scenario = site.scenario().await;
    let client = scenario.client().await;
    let first = Authority::new("the first of the clients").unwrap();
    site.accept(&first, &client).await;
    let (certificate, key) = site.carry(&first);
    let ca = site.write("ca.pem", &site.authority.pem);
    let url = format!(
        "host=localhost port={} user=relay dbname={} sslmode=verify-full sslrootcert={ca} \
         sslcert={certificate} sslkey={key}",
        site.server.address().port(),
        database(&scenario)
    );
    let configuration = scenario.configuration();
    let configuration = configuration.replace(&scenario.database_url, &url);
    scenario.configure(&format!("{configuration}[retry]\ndelay_ms_max = 500\n"));
    scenario.check(0).await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..20).await;
    scenario.drained(&client).await;
    assert!(connections(&client).await >= 2);

    // Both sides have new ones; the relay's files are late.
    let (servers, clients) = (
        Authority::new("the second of the servers").unwrap(),
        Authority::new("the second of the clients").unwrap(),
    );
    site.accept(&clients, &client).await;
    site.serve(&servers).await;
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'";
    client.execute(sql, &[]).await.unwrap();
    scenario.enqueue(&client, 20..40).await;
    wait::until("the relay says what is wrong", DEADLINE, async || {
        relay
            .stderr()
            .unwrap()
            .contains("no authority in sslrootcert")
    })
    .await
    .unwrap();
    assert_eq!(connections(&client).await, 0);
    site.write("ca.pem", &servers.pem);
    wait::until("its own certificate is wrong", DEADLINE, async || {
        let said = relay.stderr().unwrap();
        said.contains("it does not accept our certificate")
    })
    .await
    .unwrap();
    site.carry(&clients);
    scenario.drained(&client).await;
    assert!(connections(&client).await >= 2);
    assert_eq!(scenario.numbers().await, (0..40).collect::<Vec<_>>());
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn libpqs_variables_and_password_file_take_the_place_of_a_url() {
    let site = Site::new("scram-sha-256").await;
    let scenario = site.scenario().await;
    let client = scenario.client().await;
    let sql = "alter role relay password 'canary'";
    client.batch_execute(sql).await.unwrap();
    let configuration = scenario.configuration();
    let url = format!("url = \"{}\"\n", scenario.database_url);
    assert!(configuration.contains(&url));
    scenario.configure(&configuration.replace(&url, ""));
    let port = site.server.address().port().to_string();
    let ca = site.write("ca.pem", &site.authority.pem);
    let passwords = site.write("passwords", &format!("localhost:{port}:*:relay:canary\n"));
    let service = format!("[app]\nhost=localhost\nport={port}\nuser=relay\nsslmode=verify-full\n");
    let services = site.write("services", &service);
    let variables = [
        ("PGSERVICEFILE", services.as_str()),
        ("PGSERVICE", "app"),
        ("PGDATABASE", database(&scenario)),
        ("PGSSLROOTCERT", ca.as_str()),
        ("PGCHANNELBINDING", "require"),
        ("PGPASSFILE", passwords.as_str()),
    ];
    let checked = scenario.command(&["check"], &variables).await;
    assert_eq!(
        checked.code,
        Some(0),
        "{}{}",
        checked.stdout,
        checked.stderr
    );
    let with_another = [&variables[..], &[("PGPASSWORD", "canary-no")]].concat();
    let wrong = scenario.command(&["check"], &with_another).await;
    assert_eq!(wrong.code, Some(3), "{}{}", wrong.stdout, wrong.stderr);
    assert!(wrong.stdout.contains("password authentication failed"));
    for said in [checked.stdout, checked.stderr, wrong.stdout, wrong.stderr] {
        assert!(!said.contains("canary"), "{said}");
    }
    let none = scenario.command(&["check"], &[]).await;
    assert!(
        none.stderr.contains("postgres.url is missing"),
        "{}",
        none.stderr
    );
}
