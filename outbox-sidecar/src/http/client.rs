use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest a relay may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Asks the relay that listens there for its `/status`.
pub(crate) async fn fetch_status(address: SocketAddr) -> io::Result<serde_json::Value> {
    let fetch = async {
        let mut stream = TcpStream::connect(address).await?;
        // HTTP/1.0: the answer ends with the connection, in one piece.
        let request = format!("GET /status HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream
            .take(ANSWER_BYTES_MAX)
            .read_to_string(&mut answer)
            .await?;
        answer
            .split_once("\r\n\r\n")
            .and_then(|(_, body)| serde_json::from_str(body).ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is no status"))
    };
    tokio::time::timeout(ANSWER_MAX, fetch)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")))
}
