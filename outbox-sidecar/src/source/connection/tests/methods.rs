use testbed::certificates::Authority;

use super::site::Expected::{Plain, Refused, Tls};
use super::site::Site;

const ROLES: &str = "create role trusted superuser login; \
     create role scram superuser login password 'canary'; \
     create role clear superuser login password 'canary'; \
     set password_encryption = 'md5'; \
     create role md5 superuser login password 'canary'";

const HBA: [&str; 3] = [
    "host all scram 127.0.0.1/32 scram-sha-256",
    "host all md5 127.0.0.1/32 md5",
    "host all clear 127.0.0.1/32 password",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_method_is_used_where_it_is_safe() {
    let local = "local all clear password";
    let lines: Vec<_> = HBA.into_iter().chain([local]).collect();
    let site = Site::new(None, &lines).await;
    site.run(ROLES).await;
    let password = |more: &str| format!("password=canary {more}");
    let (tls, plain) = (password("sslmode=require"), password("sslmode=disable"));
    let (bound, unbound) = (
        password("sslmode=require channel_binding=require"),
        password("sslmode=require channel_binding=disable"),
    );
    let open = password("sslmode=disable channel_binding=require");
    let wrong = "password=canary-no sslmode=require";
    let nothing = "sslmode=require";
    let missing = "asks for a password and none is configured";
    let clear = "cleartext password without encryption";
    let socket = site.server.socket_directory().display().to_string();
    let socket = password(&format!("host={socket}"));
    site.check(&[
        ("scram", &tls, Tls),
        ("scram", &plain, Plain),
        ("scram", &bound, Tls),
        ("scram", &unbound, Tls),
        ("scram", &open, Refused("the connection has no TLS")),
        ("scram", wrong, Refused("password authentication failed")),
        ("scram", nothing, Refused(missing)),
        ("md5", &tls, Tls),
        ("md5", &plain, Plain),
        ("md5", &bound, Refused("it asks for an md5 password")),
        ("md5", wrong, Refused("password authentication failed")),
        ("md5", nothing, Refused(missing)),
        ("clear", &tls, Tls),
        ("clear", &plain, Refused(clear)),
        ("clear", &bound, Refused("it asks for a cleartext password")),
        ("clear", wrong, Refused("password authentication failed")),
        ("clear", nothing, Refused(missing)),
        ("clear", &socket, Plain),
        ("trusted", nothing, Tls),
        (
            "trusted",
            &bound,
            Refused("it let us in without a password"),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_bound_by_the_hash_of_the_certificates_signature() {
    let site = Site::new(None, &HBA).await;
    site.run("create role scram superuser login password 'canary'")
        .await;
    let bound = "password=canary sslmode=require channel_binding=require";
    let preferred = "password=canary sslmode=require";
    let names = ["localhost"];
    site.check(&[("scram", bound, Tls)]).await;
    site.serve(
        &Authority::with_sha384("longer")
            .unwrap()
            .server(&names)
            .unwrap(),
    )
    .await;
    site.check(&[("scram", bound, Tls)]).await;
    // Nothing to be bound by: PostgreSQL has no hash function for it either.
    site.serve(
        &Authority::with_ed25519("none")
            .unwrap()
            .server(&names)
            .unwrap(),
    )
    .await;
    site.check(&[
        ("scram", bound, Refused("signed without a hash function")),
        ("scram", preferred, Tls),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_ours_says_who_we_are() {
    let site = Site::new(None, &["hostssl all holder 127.0.0.1/32 cert"]).await;
    site.run("create role holder superuser login").await;
    let clients = Authority::new("authority of the clients").unwrap();
    site.accept_clients_of(&clients).await;
    for (name, certificate) in [
        ("holder", clients.client("holder").unwrap()),
        ("another", clients.client("another").unwrap()),
        (
            "stranger",
            Authority::new("somebody else")
                .unwrap()
                .client("holder")
                .unwrap(),
        ),
    ] {
        site.write(&format!("{name}.crt"), &certificate.pem);
        site.write(&format!("{name}.key"), &certificate.key_pem);
    }
    let of = |name: &str| {
        format!("sslmode=require sslcert={{dir}}/{name}.crt sslkey={{dir}}/{name}.key")
    };
    let mixed = "sslmode=require sslcert={dir}/holder.crt sslkey={dir}/another.key";
    let absent = "sslmode=require sslcert={dir}/holder.crt sslkey={dir}/none.key";
    let swapped = "sslmode=require sslcert={dir}/holder.crt sslkey={dir}/holder.crt";
    site.check(&[
        ("holder", &of("holder"), Tls),
        (
            "holder",
            &of("another"),
            Refused("certificate authentication failed"),
        ),
        (
            "holder",
            &of("stranger"),
            Refused("it does not accept our certificate"),
        ),
        ("holder", "sslmode=require", Refused("certificate")),
        (
            "holder",
            mixed,
            Refused("sslcert and sslkey cannot be used"),
        ),
        ("holder", absent, Refused("none.key: ")),
        ("holder", swapped, Refused("there is no key in it")),
    ])
    .await;
    let key = site.write("open.key", "");
    for (mode, refused) in [(0o644, true), (0o660, true), (0o640, false), (0o600, false)] {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        std::fs::copy(
            site.write("copy", &clients.client("holder").unwrap().key_pem),
            &key,
        )
        .unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        // A group may read what root owns.
        let is_roots = std::fs::metadata(&key).unwrap().uid() == 0;
        let refused = refused || (mode == 0o640 && !is_roots);
        let with = "sslmode=require sslcert={dir}/holder.crt sslkey={dir}/open.key";
        let said = if refused {
            "others may read it"
        } else {
            "cannot be used"
        };
        site.check(&[("holder", with, Refused(said))]).await;
    }
}
