use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::site::Expected::{Refused, Tls};
use super::site::Site;
use crate::source::connection::Address;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_reached_and_checked_by_its_ipv6_address() {
    let site = Site::new(None, &[]).await;
    let port = on_ipv6(site.server.address().port()).await;
    let ca = site.write("ca.pem", &site.authority.pem);
    let full = format!("sslmode=verify-full&sslrootcert={}", ca.display());
    let keywords = full.replace('&', " ");
    let texts = [
        format!("postgres://postgres@[::1]:{port}/postgres?{full}"),
        format!("host=::1 port={port} user=postgres dbname=postgres {keywords}"),
    ];
    for expected in [Refused("and not for ::1"), Tls] {
        for text in &texts {
            let address = Address::parse(text).unwrap();
            expected.check(&site.outcome(&address).await, text);
        }
        let certificate = site.authority.server(&["localhost", "::1"]).unwrap();
        site.serve(&certificate).await;
    }
}

/// A port of `::1` that leads to this one of 127.0.0.1, for as long as the test runs.
async fn on_ipv6(port: u16) -> u16 {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                // Either may leave without a word.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    own
}
