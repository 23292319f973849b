//! Visitors of the pages who never ask, or never read.

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::scenario::memory::allocated_kibibytes_max;
use crate::scenario::{DEADLINE, Scenario};

/// More than the relay serves at one time.
const VISITORS: usize = 80;
/// How many of them it may take in at one time.
const SERVED_MAX: usize = 32;
/// Descriptors that come and go beside them: connections to the servers, above all.
const OTHERS_MAX: usize = 16;
/// What the visitors may take in memory, all together.
const MEMORY_KIBIBYTES_MAX: u64 = 64 * 1024;
/// The kernel makes more of it; little enough that an answer does not fit.
const RECEIVE_BYTES: u32 = 1024;

/// Connects with hardly any room for an answer.
async fn visitor(address: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
    socket.connect(address).await.unwrap()
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}

#[tokio::test]
async fn visitors_who_never_ask_or_never_read_hold_up_nobody() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    let pid = relay.pid().unwrap();
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    let before = descriptors(pid);

    let mut visitors = Vec::new();
    for number in 0..VISITORS {
        let mut visitor = visitor(scenario.http_address()).await;
        let asked: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /metrics HTTP/1.1\r\nX: ",
            _ => b"GET /metrics HTTP/1.1\r\nHost: relay\r\n\r\n",
        };
        visitor.write_all(asked).await.unwrap();
        visitors.push(visitor);
    }
    scenario.enqueue(&client, 10..200).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..200).collect::<Vec<_>>());
    let opened = descriptors(pid).saturating_sub(before);
    let peak = allocated_kibibytes_max(pid);
    println!("{opened} descriptors more, {peak} KiB");
    assert!(
        opened <= SERVED_MAX + OTHERS_MAX,
        "{opened} descriptors more"
    );
    assert!(peak > 0 && peak <= MEMORY_KIBIBYTES_MAX, "{peak} KiB");

    // A probe is behind them in the queue, and has its turn once their time is up.
    testbed::wait::until(
        "the probe is answered while they are there",
        DEADLINE,
        async || matches!(scenario.get("/live").await, Some((200, _))),
    )
    .await
    .unwrap();
    drop(visitors);
    assert_eq!(relay.exit().unwrap(), None);
}
