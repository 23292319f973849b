//! The pages, as a plain client sees them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use outbox_core::Timestamp;
use outbox_core::relay::{HaltedMessage, Phase, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::connections::{ConnectionLimits, LIMITS};
use super::{Server, ServerState};
use crate::config::Ready;
use crate::report::{Report, Side};
use crate::telemetry::exporter::recorder;

/// A report of a relay in this phase.
fn report(phase: Phase, started: bool) -> Report {
    let status = Status {
        phase,
        frontier: None,
        confirmed: None,
        sequence: None,
        seen: None,
        cluster: None,
        buffer_bytes: 0,
        blocked_keys: 0,
        destinations_gone: 0,
        unclean_ends: 0,
        careful_messages: 0,
        in_flight: 0,
        oldest_commit_time: None,
    };
    Report {
        started,
        ..Report::starting("policy", status)
    }
}

struct Site {
    server: Server,
    address: SocketAddr,
    reports: watch::Sender<Report>,
}

impl Site {
    async fn open(report: Report, ready: Ready, limits: ConnectionLimits) -> Self {
        let (reports, receiver) = watch::channel(report);
        let state = ServerState {
            reports: receiver,
            metrics: recorder().handle(),
            ready,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            server: Server::serve(listener, state, limits),
            address,
            reports,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Status code and body of a page.
    async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // The server closes: it keeps no connection for a second request.
        stream.read_to_string(&mut answer).await.unwrap();
        let code = answer
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        (code, body.to_owned())
    }

    async fn code(&self, path: &str) -> u16 {
        self.get(path).await.0
    }
}

#[tokio::test]
async fn a_member_is_ready_while_it_takes_part() {
    let site = Site::open(report(Phase::Standby, false), Ready::Member, LIMITS).await;
    assert_eq!(site.code("/started").await, 503);
    assert_eq!(site.code("/ready").await, 503);
    assert_eq!(site.code("/live").await, 200);
    for (phase, ready) in [
        (Phase::Standby, 200),
        (Phase::Activating, 200),
        (Phase::Active, 200),
        (Phase::Recovering, 200),
        (Phase::Draining, 503),
        (Phase::Stopped, 503),
    ] {
        site.reports.send_replace(report(phase, true));
        assert_eq!(site.code("/ready").await, ready, "{phase:?}");
        assert_eq!(site.code("/started").await, 200, "{phase:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_leaves_a_member_ready() {
    let mut away = report(Phase::Active, true);
    away.sink = Side {
        connected: false,
        error: Some("unreachable: broker".to_owned()),
    };
    let site = Site::open(away, Ready::Member, LIMITS).await;
    assert_eq!(site.code("/ready").await, 200);
}

#[tokio::test]
async fn only_the_active_one_is_ready_when_that_is_asked_for() {
    let site = Site::open(report(Phase::Standby, true), Ready::Active, LIMITS).await;
    assert_eq!(site.code("/ready").await, 503);
    site.reports.send_replace(report(Phase::Recovering, true));
    assert_eq!(site.code("/ready").await, 503);
    site.reports.send_replace(report(Phase::Active, true));
    assert_eq!(site.code("/ready").await, 200);
}

#[tokio::test]
async fn a_halted_relay_is_live_but_not_ready_and_says_why() {
    let mut halted = report(Phase::Held, true);
    halted.held = Some(HaltedMessage {
        id: "0190d8a6-0000-7000-8000-000000000001".parse().unwrap(),
        position: outbox_core::Position {
            commit_lsn: "0/16B3748".parse().unwrap(),
            index: 2,
        },
        commit_time: Timestamp::default(),
        destination: "orders".into(),
        reason: outbox_core::sink::RefusalReason::TooLarge,
        error: "larger than the topic allows".to_owned(),
    });
    let site = Site::open(halted, Ready::Member, LIMITS).await;
    assert_eq!(site.code("/live").await, 200);
    let (code, body) = site.get("/ready").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(code, 503);
    assert_eq!(body["status"], "unavailable");
    let (_, status) = site.get("/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(
        status["held"]["message_id"],
        "0190d8a6-0000-7000-8000-000000000001"
    );
    assert_eq!(status["held"]["destination"], "orders");
    // It has been waiting since its commit, here in the year 2000.
    assert!(status["lag_seconds"].as_f64().unwrap() > 1e8, "{status}");
}

#[tokio::test]
async fn a_driver_that_no_longer_turns_is_not_live() {
    let mut stuck = report(Phase::Active, true);
    stuck.made_at = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
    let site = Site::open(stuck, Ready::Member, LIMITS).await;
    let (code, body) = site.get("/live").await;
    assert_eq!(code, 503);
    assert!(body.contains("has not turned for 6"), "{body}");
}

#[tokio::test]
async fn a_page_that_does_not_exist_and_a_method_that_changes_something_are_refused() {
    let site = Site::open(report(Phase::Active, true), Ready::Member, LIMITS).await;
    assert_eq!(site.code("/nothing").await, 404);
    let mut stream = site.connect().await;
    stream
        .write_all(b"POST /status HTTP/1.1\r\nHost: relay\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

/// Reads until the server ends the connection, by closing or resetting it.
async fn ends(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
    let _ = read.await.expect("the server ends the connection");
    answer
}

#[tokio::test]
async fn silent_visitors_do_not_keep_the_probes_out() {
    let limits = ConnectionLimits {
        connections_max: 2,
        lifetime_max: Duration::from_millis(200),
        ..LIMITS
    };
    let site = Site::open(report(Phase::Active, true), Ready::Member, limits).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(site.connect().await);
    }
    let mut dribbling = site.connect().await;
    dribbling
        .write_all(b"GET /status HTTP/1.1\r\nX: ")
        .await
        .unwrap();
    // They are before it in the queue: it is answered once their time is up.
    assert_eq!(site.code("/live").await, 200);
    assert_eq!(ends(dribbling).await, b"");
    for stream in silent {
        assert_eq!(ends(stream).await, b"");
    }
}

#[tokio::test]
async fn an_endless_request_is_cut_off() {
    let site = Site::open(report(Phase::Active, true), Ready::Member, LIMITS).await;
    let mut stream = site.connect().await;
    stream
        .write_all(b"GET /status HTTP/1.1\r\nX: ")
        .await
        .unwrap();
    let sent = async {
        let mut sent = 0_usize;
        while stream.write_all(&[b'x'; 1024]).await.is_ok() && sent < 64 << 20 {
            sent += 1024;
        }
        sent
    };
    let sent = tokio::time::timeout(Duration::from_secs(30), sent)
        .await
        .unwrap();
    // What the kernels hold between us is sent too.
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    assert_eq!(site.code("/live").await, 200);
}

#[tokio::test]
async fn a_server_that_is_shut_down_no_longer_listens() {
    let site = Site::open(report(Phase::Active, true), Ready::Member, LIMITS).await;
    let address = site.address;
    site.server.shut_down().await;
    assert!(TcpStream::connect(address).await.is_err());
}
