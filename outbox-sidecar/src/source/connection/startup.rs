use std::time::Duration;

use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite};

use super::authentication::authenticate;
use super::{Address, Wire};
use crate::source::SourceError;

/// How a replication connection introduces itself.
#[derive(Clone, Debug)]
pub(crate) struct Startup {
    pub(crate) application_name: String,
    /// After how long without a word from us the server drops the connection. Short, so that a
    /// frozen relay loses its slot soon, and `reply_time` moves often while a healthy one is busy.
    pub(crate) wal_sender_timeout: Duration,
}

/// The longest the start-up and authentication may take.
const STARTUP_MAX: Duration = Duration::from_secs(10);

/// Starts the protocol on a fresh socket. Returns the process id of the walsender.
pub(crate) async fn start<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    address: &Address,
    startup: &Startup,
    is_unix_socket: bool,
) -> Result<i32, SourceError> {
    let doing = "starting the replication connection";
    let options = format!(
        "-c wal_sender_timeout={}ms -c idle_session_timeout=0",
        startup.wal_sender_timeout.as_millis()
    );
    let parameters = [
        ("user", address.user()),
        ("database", address.database()),
        ("replication", "database"),
        ("client_encoding", "UTF8"),
        ("application_name", startup.application_name.as_str()),
        ("options", options.as_str()),
    ];
    let exchange = async {
        frontend::startup_message(parameters, &mut wire.output)
            .map_err(|source| SourceError::Io { doing, source })?;
        wire.flush()
            .await
            .map_err(|source| SourceError::Io { doing, source })?;
        authenticate(wire, address.user(), address.password(), is_unix_socket).await?;
        let mut process_id = None;
        loop {
            match wire.next(doing).await? {
                Message::BackendKeyData(body) => process_id = Some(body.process_id()),
                Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        process_id.ok_or_else(|| {
            SourceError::Protocol("the server did not name the process that serves us".to_owned())
        })
    };
    tokio::time::timeout(STARTUP_MAX, exchange)
        .await
        .map_err(|_| SourceError::TimedOut {
            doing,
            limit_s: STARTUP_MAX.as_secs(),
        })?
}
