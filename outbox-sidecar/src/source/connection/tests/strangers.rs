use std::sync::Arc;
use std::time::Duration;
use testbed::certificates::Authority;

use outbox_core::relay::{FailureKind, SourceFailure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::control::connect;
use crate::source::connection::{Address, Startup};
use crate::source::replication::Replication;

/// What a server sends to ask for a password in clear.
const CLEARTEXT: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];

/// Somebody who is not PostgreSQL: serves each connection by a function, and collects what came.
async fn stranger<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// What comes of both kinds of connections.
async fn failures(port: u16, more: &str) -> [SourceFailure; 2] {
    let text = format!("host=127.0.0.1 port={port} user=u password=canary dbname=d {more}");
    let address = Address::parse(&text).unwrap();
    let startup = Startup {
        application_name: "tests".to_owned(),
        wal_sender_timeout: Duration::from_secs(60),
    };
    let sql = connect(&address, "tests", || {})
        .await
        .map(drop)
        .unwrap_err();
    let replication = Replication::connect(&address, &startup).await.map(drop);
    [sql, replication.unwrap_err().into()]
}

async fn refused(port: u16, more: &str, words: &str) {
    for failure in failures(port, more).await {
        assert_eq!(
            failure.kind,
            FailureKind::AuthenticationRefused,
            "{failure:?}"
        );
        assert!(failure.message.contains(words), "{failure:?}");
        assert!(!failure.message.contains("canary"), "{failure:?}");
    }
}

async fn skip_startup(stream: &mut (impl AsyncRead + Unpin)) {
    let length = stream.read_u32().await.unwrap();
    let mut rest = vec![0; usize::try_from(length).unwrap() - 4];
    stream.read_exact(&mut rest).await.unwrap();
}

/// Asks for a password in clear, and must not get it.
async fn ask_in_clear(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    skip_startup(&mut stream).await;
    // Byte by byte: the request is known when it is complete.
    for byte in CLEARTEXT {
        stream.write_all(&[byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.windows(6).any(|part| part == b"canary"));
}

#[tokio::test]
async fn nobody_in_between_can_remove_tls() {
    let port = stranger(|mut stream| async move {
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(b"N").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        // Not even who we are.
        assert_eq!(rest, b"");
    })
    .await;
    refused(
        port,
        "sslmode=require",
        "something between the relay and the server removes it",
    )
    .await;
}

#[tokio::test]
async fn a_password_is_never_sent_in_clear() {
    let port = stranger(|mut stream| async move {
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(b"N").await.unwrap();
        ask_in_clear(stream).await;
    })
    .await;
    refused(port, "", "cleartext password without encryption").await;
    let port = stranger(ask_in_clear).await;
    refused(
        port,
        "sslmode=disable",
        "cleartext password without encryption",
    )
    .await;
}

#[tokio::test]
async fn a_certificate_is_worth_nothing_without_its_key() {
    for mode in [
        "sslmode=require",
        "sslmode=require ssl_max_protocol_version=TLSv1.2",
    ] {
        let authority = Authority::new("authority").unwrap();
        let shown = authority.server(&["127.0.0.1"]).unwrap();
        let held = authority.server(&["127.0.0.1"]).unwrap();
        let key = PrivateKeyDer::try_from(held.key_der).unwrap();
        let key = ring::sign::any_supported_type(&key).unwrap();
        let certified = CertifiedKey::new(vec![CertificateDer::from(shown.der)], key);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let port = stranger(move |mut stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut request = [0; 8];
                stream.read_exact(&mut request).await.unwrap();
                stream.write_all(b"S").await.unwrap();
                assert!(acceptor.accept(stream).await.is_err());
            }
        })
        .await;
        refused(port, mode, "is not accepted").await;
    }
}

#[tokio::test]
async fn an_answer_that_is_none_and_silence_end_in_time() {
    let port = stranger(|mut stream| async move {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n")
            .await
            .unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for failure in failures(port, "").await {
        assert_eq!(failure.kind, FailureKind::Unreachable, "{failure:?}");
        assert!(
            failure.message.contains("neither yes nor no"),
            "{failure:?}"
        );
    }
    let port = stranger(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for failure in failures(port, "connect_timeout=1").await {
        assert_eq!(failure.kind, FailureKind::Unreachable, "{failure:?}");
        assert!(failure.message.contains("starting TLS"), "{failure:?}");
    }
}
