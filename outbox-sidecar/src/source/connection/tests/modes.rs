use testbed::certificates::{Authority, Certificate};
use testbed::provision::PostgresVersion;

use super::site::Expected::{Plain, Refused, Tls};
use super::site::Site;
use crate::source::connection::{Address, Surroundings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_encrypts_and_checks_what_it_says() {
    let site = Site::new(
        None,
        &[
            "hostnossl all tls_only 127.0.0.1/32 reject",
            "hostssl all plain_only 127.0.0.1/32 reject",
        ],
    )
    .await;
    site.run(
        "create role tls_only superuser login; create role plain_only superuser login; \
         create role anyhow superuser login",
    )
    .await;
    site.write("other.pem", &Authority::new("somebody else").unwrap().pem);
    site.write("empty.pem", "");
    let ca = "sslrootcert={dir}/ca.pem";
    let other = "sslrootcert={dir}/other.pem";
    let unsigned = "no authority in sslrootcert";
    let elsewhere = "host=db.example hostaddr=127.0.0.1";
    let address = "host=127.0.0.1";
    let cases = [
        ("anyhow", "sslmode=disable", "", Plain),
        ("anyhow", "sslmode=allow", "", Plain),
        ("anyhow", "", "", Tls),
        ("anyhow", "sslmode=prefer", elsewhere, Tls),
        ("anyhow", "sslmode=require", elsewhere, Tls),
        // What the server wants decides, where both are allowed.
        ("tls_only", "sslmode=disable", "", Refused("pg_hba.conf")),
        ("tls_only", "sslmode=allow", "", Tls),
        ("tls_only", "sslmode=prefer", "", Tls),
        ("plain_only", "sslmode=allow", "", Plain),
        ("plain_only", "sslmode=prefer", "", Plain),
        ("plain_only", "sslmode=require", "", Refused("pg_hba.conf")),
        // Certificates that are given are checked against.
        ("anyhow", "sslmode=require", ca, Tls),
        ("anyhow", "sslmode=require", other, Refused(unsigned)),
        ("anyhow", "sslmode=prefer", other, Plain),
        ("tls_only", "sslmode=prefer", other, Refused(unsigned)),
        ("anyhow", "sslmode=verify-ca", ca, Tls),
        ("anyhow", "sslmode=verify-ca", other, Refused(unsigned)),
        ("anyhow", "sslmode=verify-full", ca, Tls),
        ("anyhow", "sslmode=verify-full", other, Refused(unsigned)),
        (
            "anyhow",
            "sslrootcert=system",
            "",
            Refused("is not accepted"),
        ),
        // Files that do not do are named.
        (
            "anyhow",
            "sslmode=require sslrootcert={dir}/none.pem",
            "",
            Refused("none.pem: "),
        ),
        (
            "anyhow",
            "sslrootcert={dir}/none.pem",
            "",
            Refused("none.pem: "),
        ),
        (
            "anyhow",
            "sslmode=disable sslrootcert={dir}/none.pem",
            "",
            Plain,
        ),
        (
            "anyhow",
            "sslmode=verify-ca sslrootcert={dir}/empty.pem",
            "",
            Refused("no certificate in it"),
        ),
        (
            "anyhow",
            "sslmode=verify-full hostaddr=127.0.0.1 sslrootcert={dir}/ca.pem",
            "",
            Refused("set host beside hostaddr"),
        ),
        // Versions.
        (
            "anyhow",
            "sslmode=require ssl_min_protocol_version=TLSv1.3",
            "",
            Tls,
        ),
        (
            "anyhow",
            "sslmode=require ssl_max_protocol_version=TLSv1.2",
            "",
            Tls,
        ),
        (
            "anyhow",
            "sslmode=verify-full ssl_max_protocol_version=TLSv1.2",
            ca,
            Tls,
        ),
    ];
    let texts: Vec<_> = cases
        .iter()
        .map(|(user, mode, more, expected)| (*user, format!("{mode} {more}"), *expected))
        .collect();
    let table: Vec<_> = texts
        .iter()
        .map(|(user, text, expected)| (*user, text.as_str(), *expected))
        .collect();
    site.check(&table).await;
    let named = |host: &str, mode: &str| format!("sslmode={mode} {ca} {host}");
    site.check(&[
        ("anyhow", &named(elsewhere, "verify-ca"), Tls),
        (
            "anyhow",
            &named(elsewhere, "verify-full"),
            Refused("it is for localhost, 127.0.0.1, and not for db.example"),
        ),
        ("anyhow", &named(address, "verify-full"), Tls),
    ])
    .await;
    // A unix socket is its own protection.
    let directory = site.server.socket_directory().display().to_string();
    let socket = format!("host={directory} sslmode=verify-full {ca}");
    site.check(&[("anyhow", &socket, Plain)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_checked_as_libpq_does() {
    let site = Site::new(None, &[]).await;
    let full = "sslmode=verify-full sslrootcert={dir}/ca.pem";
    let wrong = |host: &str| format!("{full} host={host} hostaddr=127.0.0.1");

    site.serve(&site.authority.server(&["*.example.com"]).unwrap())
        .await;
    site.check(&[
        ("postgres", &wrong("db.Example.com"), Tls),
        (
            "postgres",
            &wrong("a.db.example.com"),
            Refused("it is for *.example.com"),
        ),
        (
            "postgres",
            &wrong("example.com"),
            Refused("it is for *.example.com"),
        ),
        (
            "postgres",
            &wrong("127.0.0.1"),
            Refused("not for 127.0.0.1"),
        ),
    ])
    .await;
    // Without other names the common name counts, and only then.
    site.serve(&site.authority.server_by_common_name("localhost").unwrap())
        .await;
    site.check(&[
        ("postgres", full, Tls),
        ("postgres", &wrong("other"), Refused("it is for localhost")),
    ])
    .await;
    site.serve(&site.authority.server(&["a server"]).unwrap())
        .await;
    site.check(&[("postgres", full, Refused("it is for a server"))])
        .await;

    site.serve(&site.authority.expired(&["localhost"]).unwrap())
        .await;
    site.check(&[
        ("postgres", full, Refused("it has expired")),
        ("postgres", "sslmode=require", Tls),
    ])
    .await;
    // A certificate that is trusted for itself.
    let alone = Certificate::of_its_own(&["localhost"]).unwrap();
    site.serve(&alone).await;
    site.write("alone.pem", &alone.pem);
    site.check(&[
        ("postgres", full, Refused("no authority in sslrootcert")),
        (
            "postgres",
            "sslmode=verify-full sslrootcert={dir}/alone.pem",
            Tls,
        ),
        (
            "postgres",
            "sslmode=verify-full host=other hostaddr=127.0.0.1 sslrootcert={dir}/alone.pem",
            Refused("not for other"),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_left_where_tls_is_demanded() {
    let site = Site::new(None, &[]).await;
    site.run("alter system set ssl = off").await;
    site.server.reload().await.unwrap();
    let ca = "sslrootcert={dir}/ca.pem";
    site.check(&[
        ("postgres", "", Plain),
        ("postgres", "sslmode=allow", Plain),
        (
            "postgres",
            "sslmode=require",
            Refused("does not speak TLS, which sslmode=require demands"),
        ),
        (
            "postgres",
            &format!("sslmode=verify-full {ca}"),
            Refused("does not speak TLS, which sslmode=verify-full"),
        ),
        (
            "nobody",
            "sslmode=allow",
            Refused("role \"nobody\" does not exist [28000]"),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_from_the_first_byte_needs_a_server_that_knows_it() {
    let ca = "sslmode=verify-full sslrootcert={dir}/ca.pem sslnegotiation=direct";
    let asked = PostgresVersion::from_environment().unwrap();
    let site = Site::new(Some(asked.max(PostgresVersion::V17)), &[]).await;
    site.check(&[
        ("postgres", ca, Tls),
        ("postgres", "sslmode=require sslnegotiation=direct", Tls),
    ])
    .await;
    let site = Site::new(Some(PostgresVersion::V16), &[]).await;
    site.check(&[("postgres", ca, Refused("needs PostgreSQL 17"))])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_libpqs_places_are_used_as_if_they_were_named() {
    let site = Site::new(None, &["hostssl all holder 127.0.0.1/32 cert"]).await;
    site.run("create role holder superuser login").await;
    let clients = Authority::new("authority of the clients").unwrap();
    site.accept_clients_of(&clients).await;
    let home = tempfile::tempdir().unwrap();
    let places = home.path().join(".postgresql");
    std::fs::create_dir(&places).unwrap();
    let surroundings = Surroundings::of(&[], home.path());
    let check = async |user: &str, mode: &str, expected: super::site::Expected| {
        let text = site.text(user, &format!("sslmode={mode}"));
        let address = Address::read(&text, &surroundings).unwrap();
        expected.check(&site.outcome(&address).await, mode);
    };
    check("postgres", "require", Tls).await;
    check("postgres", "verify-ca", Refused("root.crt does not exist")).await;

    let root = places.join("root.crt");
    std::fs::write(&root, &Authority::new("somebody else").unwrap().pem).unwrap();
    check("postgres", "require", Refused("no authority")).await;
    check("postgres", "prefer", Plain).await;
    std::fs::write(&root, &site.authority.pem).unwrap();
    check("postgres", "require", Tls).await;
    check("postgres", "verify-full", Tls).await;

    check("holder", "require", Refused("certificate")).await;
    let certificate = clients.client("holder").unwrap();
    std::fs::write(places.join("postgresql.crt"), &certificate.pem).unwrap();
    check("holder", "require", Refused("postgresql.key: ")).await;
    let key = site.write("holder.key", &certificate.key_pem);
    std::fs::copy(key, places.join("postgresql.key")).unwrap();
    check("holder", "require", Tls).await;
}
