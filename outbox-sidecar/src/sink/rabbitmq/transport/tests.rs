use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;

/// How long what is given up may live on.
const SOON: Duration = Duration::from_secs(30);

/// A broker that accepts connections, and the address of one that is to be reached by TLS.
fn silent(parameters: &str) -> (TcpListener, Broker) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("amqps://relay:secret@127.0.0.1:{port}/%2f{parameters}");
    let broker = Broker::read(&url, Duration::from_secs(1)).unwrap();
    (listener, broker)
}

/// Waits until the other side has gone, whatever it said before.
fn is_left(mut stream: TcpStream) {
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

#[tokio::test]
async fn a_connection_that_is_given_up_in_the_middle_of_the_handshake_ends() {
    let (listener, broker) = silent("");
    let (dialler, lifeline) = Dialler::new(broker, 1);
    let dialling = tokio::spawn(async move { dialler.dial().await.map(drop) });
    let accepting = tokio::task::spawn_blocking(move || listener.accept().unwrap().0);
    let stream = accepting.await.unwrap();
    drop(lifeline);
    let error = dialling.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{error}");
    tokio::task::spawn_blocking(move || is_left(stream))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_address_may_say_how_long_connecting_takes() {
    let (listener, broker) = silent("?connection_timeout=50");
    let (dialler, _lifeline) = Dialler::new(broker, 1);
    let Err(error) = dialler.dial().await else {
        panic!("nobody has answered");
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    let (stream, _) = listener.accept().unwrap();
    tokio::task::spawn_blocking(move || is_left(stream))
        .await
        .unwrap();
}
