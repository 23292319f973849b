use testbed::certificates::Authority;

use super::site::Site;
use crate::connection_table::ConnectionTable;

/// What stands in docs/connections.md; the tables of the other tests go further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_method_in_each_mode_is_what_the_documentation_says() {
    const METHODS: [&str; 4] = ["scram-sha-256", "md5", "password", "cert"];
    let lines: Vec<_> = METHODS
        .iter()
        .map(|method| {
            let kind = if *method == "cert" { "hostssl" } else { "host" };
            format!("{kind} all \"{method}\" 127.0.0.1/32 {method}")
        })
        .collect();
    let mut lines: Vec<_> = lines.iter().map(String::as_str).collect();
    lines.push("host all cert 127.0.0.1/32 reject");
    let site = Site::new(None, &lines).await;
    for method in METHODS {
        let stored = if method == "md5" {
            "md5"
        } else {
            "scram-sha-256"
        };
        let sql = format!(
            "set password_encryption = '{stored}'; \
             create role \"{method}\" superuser login password 'canary'"
        );
        site.run(&sql).await;
    }
    let clients = Authority::new("authority of the clients").unwrap();
    site.accept_clients_of(&clients).await;
    site.write("other-ca.pem", &clients.pem);
    let certificate = clients.client("cert").unwrap();
    site.write("our.pem", &certificate.pem);
    site.write("our.key", &certificate.key_pem);
    let carried = "sslcert={dir}/our.pem sslkey={dir}/our.key";
    let full = "sslmode=verify-full sslrootcert={dir}/ca.pem";
    let mut cases = Vec::new();
    for method in ["scram-sha-256", "md5", "password"] {
        for mode in ["sslmode=disable", "sslmode=prefer", "sslmode=require", full] {
            cases.push((method, mode.to_owned()));
        }
    }
    cases.extend([
        ("scram-sha-256", format!("{full} channel_binding=require")),
        ("md5", format!("{full} channel_binding=require")),
        (
            "scram-sha-256",
            format!("{full} host=127.0.0.2 hostaddr=127.0.0.1"),
        ),
        ("scram-sha-256", full.replace("ca.pem", "other-ca.pem")),
        (
            "scram-sha-256",
            "sslmode=verify-ca sslrootcert={dir}/ca.pem".to_owned(),
        ),
        ("cert", format!("{full} {carried}")),
        ("cert", full.to_owned()),
        ("cert", "sslmode=disable".to_owned()),
    ]);
    let mut table = ConnectionTable::new("postgresql", &["method", "keywords", "result"]);
    for (method, keywords) in cases {
        let password = if method == "cert" {
            ""
        } else {
            " password=canary"
        };
        let address = site.address(method, &format!("{keywords}{password}"));
        let said = match site.outcome(&address).await {
            Ok(true) => "works, encrypted".to_owned(),
            Ok(false) => "works, not encrypted".to_owned(),
            // SQL's words and replication's.
            Err(failure) => {
                let mut said: Vec<_> = failure.message.lines().collect();
                said.dedup();
                said.join("; ")
            }
        };
        assert!(!said.contains("canary"), "{said}");
        let port = site.server.address().port().to_string();
        let shown = keywords.replace("{dir}/", "").replace(' ', "` `");
        let said = said.replace(&format!(":{port}"), "").replace(&port, "5432");
        table.add(&[method, &format!("`{shown}`"), &said]);
    }
    table.check();
}
