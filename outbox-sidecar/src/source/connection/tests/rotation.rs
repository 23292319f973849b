use super::site::Expected::{Refused, Tls};
use super::site::Site;
use testbed::certificates::Authority;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_keys_that_are_rotated_need_no_restart() {
    let site = Site::new(None, &["hostssl all holder 127.0.0.1/32 cert"]).await;
    site.run("create role holder superuser login").await;
    let clients = Authority::new("first of the clients").unwrap();
    site.accept_clients_of(&clients).await;
    let carry = |authority: &Authority| {
        let certificate = authority.client("holder").unwrap();
        site.write("holder.crt", &certificate.pem);
        site.write("holder.key", &certificate.key_pem);
    };
    carry(&clients);
    let files = "sslmode=verify-full sslrootcert={dir}/ca.pem sslcert={dir}/holder.crt \
                 sslkey={dir}/holder.key";
    // One address for all of it, as the relay has.
    let address = site.address("holder", files);
    let check = async |expected: super::site::Expected, case: &str| {
        expected.check(&site.outcome(&address).await, case);
    };
    check(Tls, "at first").await;

    let second = Authority::new("second of the servers").unwrap();
    site.serve(&second.server(&["localhost"]).unwrap()).await;
    check(
        Refused("no authority in sslrootcert"),
        "the server's is new",
    )
    .await;
    // Both while they change, as operators do it.
    site.write("ca.pem", &format!("{}{}", site.authority.pem, second.pem));
    check(Tls, "both authorities are trusted").await;
    site.write("ca.pem", &second.pem);
    check(Tls, "only the new one is trusted").await;

    let clients = Authority::new("second of the clients").unwrap();
    site.accept_clients_of(&clients).await;
    check(Refused("it does not accept our certificate"), "ours is old").await;
    carry(&clients);
    check(Tls, "ours is new").await;
}
