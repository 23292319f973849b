//! A client for services that speak JSON over HTTP on this machine.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonClientError {
    /// Nobody listens there, or the connection broke.
    #[error("{address} cannot be reached")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The connection does not carry HTTP, or ended in the midst of it.
    #[error("the exchange with {address} failed")]
    Http {
        /// With whom.
        address: SocketAddr,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer within a minute.
    #[error("{address} did not answer within {} s", ANSWER_MAX.as_secs())]
    Late {
        /// Who.
        address: SocketAddr,
    },
}

/// One connection, one request at a time.
///
/// ```no_run
/// # async fn example() -> Result<(), outbox_examples::JsonClientError> {
/// use outbox_examples::JsonClient;
/// use serde_json::json;
///
/// let mut client = JsonClient::connect("127.0.0.1:8080".parse().unwrap()).await?;
/// let order = json!({ "customer": "ann", "product": "bicycle", "premium_cents": 900 });
/// let (status, answer) = client.post("/orders", &order).await?;
/// assert_eq!(status, 201, "{answer}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct JsonClient {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl JsonClient {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Result<Self, JsonClientError> {
        let unreachable = |source| JsonClientError::Unreachable { address, source };
        let stream = TcpStream::connect(address).await.map_err(unreachable)?;
        // A request is one small write, and must not wait for company.
        stream.set_nodelay(true).map_err(unreachable)?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(http(address))?;
        // Its error reaches us by the sender.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { address, sender })
    }

    /// Asks; returns status and body, `Null` where the body is no JSON.
    ///
    /// # Errors
    /// When the connection breaks, or there is no answer within a minute.
    pub async fn get(&mut self, path: &str) -> Result<(u16, Value), JsonClientError> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Sends `body`; returns status and body of the answer, `Null` where that is no JSON.
    ///
    /// # Errors
    /// When the connection breaks, or there is no answer within a minute.
    pub async fn post(
        &mut self,
        path: &str,
        body: &Value,
    ) -> Result<(u16, Value), JsonClientError> {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(u16, Value), JsonClientError> {
        let address = self.address;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(http(address))?;
        let exchange = async {
            self.sender.ready().await.map_err(http(address))?;
            let answer = self
                .sender
                .send_request(request)
                .await
                .map_err(http(address))?;
            let status = answer.status().as_u16();
            let body = answer
                .into_body()
                .collect()
                .await
                .map_err(http(address))?
                .to_bytes();
            Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        tokio::time::timeout(ANSWER_MAX, exchange)
            .await
            .map_err(|_| JsonClientError::Late { address })?
    }
}

fn http<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    address: SocketAddr,
) -> impl FnOnce(E) -> JsonClientError {
    move |source| JsonClientError::Http {
        address,
        source: source.into(),
    }
}
