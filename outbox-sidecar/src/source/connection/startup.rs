use std::time::Duration;

use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite};

use super::authentication::authenticate;
use super::{Address, Login, Wire};
use crate::source::SourceError;

/// How a replication connection introduces itself.
#[derive(Clone, Debug)]
pub(crate) struct Startup {
    pub(crate) application_name: String,
    /// After how long without a word from us the server drops the connection. Short, so that a
    /// frozen relay loses its slot soon, and `reply_time` moves often while a healthy one is busy.
    pub(crate) wal_sender_timeout: Duration,
}

/// What serves us, as it said when the connection began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// The walsender's process: the holder of our slot once the copy runs.
    pub(crate) process_id: i32,
    /// It is in recovery.
    pub(crate) is_standby: bool,
}

/// Starts the protocol on a fresh socket.
pub(crate) async fn start<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    address: &Address,
    startup: &Startup,
    login: &Login,
) -> Result<Server, SourceError> {
    tokio::time::timeout(
        address.answer_max(),
        exchange(wire, address, startup, login),
    )
    .await
    .map_err(|_| SourceError::TimedOut {
        doing: DOING,
        limit_s: address.answer_max().as_secs(),
    })?
}

const DOING: &str = "starting the replication connection";

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    address: &Address,
    startup: &Startup,
    login: &Login,
) -> Result<Server, SourceError> {
    let io_error = |source| SourceError::Io {
        doing: DOING,
        source,
    };
    let options = options(startup, address.options());
    let parameters = [
        ("user", address.user()),
        ("database", address.database()),
        ("replication", "database"),
        ("client_encoding", "UTF8"),
        ("application_name", startup.application_name.as_str()),
        ("options", options.as_str()),
    ];
    frontend::startup_message(parameters, &mut wire.output).map_err(io_error)?;
    wire.flush().await.map_err(io_error)?;
    authenticate(wire, login).await?;
    let mut process_id = None;
    let mut is_standby = false;
    loop {
        match wire.next_or_parameter(DOING).await? {
            Message::BackendKeyData(body) => process_id = Some(body.process_id()),
            Message::ParameterStatus(body) => {
                let name = body.name().map_err(io_error)?;
                let value = body.value().map_err(io_error)?;
                is_standby |= name == "in_hot_standby" && value == "on";
            }
            Message::ReadyForQuery(_) => break,
            _ => {}
        }
    }
    let process_id = process_id.ok_or_else(|| {
        SourceError::Nonsense("the server did not name the process that serves us".to_owned())
    })?;
    Ok(Server {
        process_id,
        is_standby,
    })
}

/// Ours come last and win. PostgreSQL 18 says by a warning only that a publication is missing and
/// its rows are left out: it must reach us, whatever the role or the database says. The snapshot of a new slot must outlive any limit on idle sessions, and
/// what cannot be sent in binary form must come in the form that the decoder reads.
fn options(startup: &Startup, configured: &str) -> String {
    format!(
        "{configured} -c wal_sender_timeout={}ms -c idle_session_timeout=0 \
         -c idle_in_transaction_session_timeout=0 -c statement_timeout=0 -c datestyle=ISO \
         -c bytea_output=hex -c client_min_messages=notice",
        startup.wal_sender_timeout.as_millis()
    )
    .trim_start()
    .to_owned()
}
