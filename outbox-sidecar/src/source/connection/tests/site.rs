use std::path::PathBuf;
use std::time::Duration;
use testbed::certificates::{Authority, Certificate};

use outbox_core::relay::{FailureKind, SourceFailure};
use testbed::PostgresServer;
use testbed::provision::PostgresVersion;
use tokio_postgres::Client;

use crate::control::connect;
use crate::source::connection::{Address, Startup};
use crate::source::replication::Replication;

/// A server with TLS, and a directory for what its clients need.
pub(super) struct Site {
    pub(super) server: PostgresServer,
    pub(super) authority: Authority,
    pub(super) admin: Client,
    directory: tempfile::TempDir,
}

/// How a connection ended: whether it was encrypted, or what was wrong.
pub(super) type Outcome = Result<bool, SourceFailure>;

impl Site {
    /// A server whose certificate is for `localhost` and 127.0.0.1, with these lines of
    /// `pg_hba.conf` before the ones that trust everybody.
    pub(super) async fn new(version: Option<PostgresVersion>, hba: &[&str]) -> Self {
        let mut options = PostgresServer::options();
        if let Some(version) = version {
            options = options.version(version);
        }
        for line in hba {
            options = options.hba(line);
        }
        let server = options.start().await.unwrap();
        let authority = Authority::new("authority of the tests").unwrap();
        let site = Self {
            admin: server.connect("postgres", "postgres").await.unwrap(),
            directory: tempfile::tempdir().unwrap(),
            authority,
            server,
        };
        site.write("ca.pem", &site.authority.pem);
        site.serve(&site.authority.server(&["localhost", "127.0.0.1"]).unwrap())
            .await;
        site
    }

    pub(super) async fn run(&self, sql: &str) {
        self.admin.batch_execute(sql).await.unwrap();
    }

    /// Lets the server use another certificate.
    pub(super) async fn serve(&self, certificate: &Certificate) {
        self.server.serve_tls(certificate).await.unwrap();
    }

    /// The server's clients must have a certificate of this authority, or none.
    pub(super) async fn accept_clients_of(&self, authority: &Authority) {
        self.server.set_file("clients.crt", &authority.pem).unwrap();
        self.run("alter system set ssl_ca_file = 'clients.crt'")
            .await;
        self.server.reload().await.unwrap();
    }

    /// Writes a file of the client's, for nobody else to read.
    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A keyword string for a user, with `{dir}` for the client's directory.
    pub(super) fn text(&self, user: &str, more: &str) -> String {
        let more = more.replace("{dir}", &self.directory.path().to_string_lossy());
        let host = if more.contains("host") {
            ""
        } else {
            "host=localhost"
        };
        let port = self.server.address().port();
        format!("user={user} dbname=postgres port={port} {host} {more}")
    }

    pub(super) fn address(&self, user: &str, more: &str) -> Address {
        Address::parse(&self.text(user, more)).unwrap()
    }

    /// Connects for SQL and for replication, which must end alike.
    pub(super) async fn outcome(&self, address: &Address) -> Outcome {
        let sql = match connect(address, "tests", || {}).await {
            Ok(client) => Ok(is_encrypted(&client, "pg_backend_pid()").await),
            Err(failure) => Err(failure),
        };
        let startup = Startup {
            application_name: "tests".to_owned(),
            wal_sender_timeout: Duration::from_secs(60),
        };
        let replication = match Replication::connect(address, &startup).await {
            Ok(connection) => {
                let pid = connection.server.process_id.to_string();
                Ok(is_encrypted(&self.admin, &pid).await)
            }
            Err(error) => Err(SourceFailure::from(error)),
        };
        match (&sql, &replication) {
            (Ok(sql), Ok(replication)) => assert_eq!(sql, replication),
            (Err(sql), Err(replication)) => {
                assert_eq!(sql.kind, replication.kind, "{sql:?} {replication:?}")
            }
            _ => panic!("SQL: {sql:?}, replication: {replication:?}"),
        }
        if let (Err(sql), Err(replication)) = (&sql, &replication) {
            println!("SQL: {}\nreplication: {}", sql.message, replication.message);
        }
        // Both messages are looked at by what is expected of them.
        sql.map_err(|sql| {
            let replication = replication.unwrap_err().message;
            SourceFailure {
                message: format!("{}\n{replication}", sql.message),
                ..sql
            }
        })
    }

    /// Goes through a table of users and settings, and what comes of them.
    pub(super) async fn check(&self, table: &[(&str, &str, Expected)]) {
        for (user, more, expected) in table {
            let outcome = self.outcome(&self.address(user, more)).await;
            expected.check(&outcome, &format!("{user}: {more}"));
        }
    }
}

/// What is expected of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    Tls,
    Plain,
    /// Refused, with these words, by SQL and replication alike.
    Refused(&'static str),
}

impl Expected {
    pub(super) fn check(&self, outcome: &Outcome, case: &str) {
        let refused = |words: &str| {
            let failure = outcome.as_ref().expect_err(case);
            assert_eq!(
                failure.kind,
                FailureKind::AuthenticationRefused,
                "{case}: {failure:?}"
            );
            for message in failure.message.split('\n') {
                assert!(message.contains(words), "{case}: {message}");
            }
            assert!(!failure.message.contains("canary"), "{case}: {failure:?}");
        };
        match self {
            Self::Tls => assert_eq!(outcome, &Ok(true), "{case}"),
            Self::Plain => assert_eq!(outcome, &Ok(false), "{case}"),
            Self::Refused(words) => refused(words),
        }
    }
}

async fn is_encrypted(client: &Client, pid: &str) -> bool {
    let sql = format!("select ssl from pg_stat_ssl where pid = {pid}");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}
