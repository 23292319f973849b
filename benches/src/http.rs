//! Asks the relay over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The body of `GET path`, whatever the status.
pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its error reaches us by the sender.
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::get(path)
            .header(HOST, address.to_string())
            .body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        String::from_utf8(body.to_vec()).context("the answer is no text")
    };
    match tokio::time::timeout(ANSWER_MAX, exchange).await {
        Ok(answer) => answer,
        Err(_) => bail!("http://{address}{path} did not answer within {ANSWER_MAX:?}"),
    }
}
