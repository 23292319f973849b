use std::time::Duration;

use outbox_core::relay::{FailureKind, SourceFailure};
use tokio::sync::oneshot;
use tokio_postgres::Client;

use super::failure::of_connection;
use super::failure_of;
use crate::source::SourceError;
use crate::source::connection::{Address, Login, Socket};

/// The longest any statement of ours may take on the server, and then half as long again for its
/// answer to arrive.
const STATEMENT_MAX: Duration = Duration::from_secs(10);

/// The longest a statement may wait for a lock: less, so that the error says what it waited for.
const LOCK_MAX: Duration = Duration::from_secs(5);

/// What runs when a connection has ended.
type OnEnd = Box<dyn FnOnce() + Send>;

/// Opens a connection whose statements are bounded, and runs it until `on_end` is called. Of several
/// hosts the first is taken that is no standby, if there is one.
pub(crate) async fn connect(
    address: &Address,
    application_name: &str,
    on_end: impl FnOnce() + Send + 'static,
) -> Result<Client, SourceFailure> {
    let hosts = address.hosts();
    let mut failure = SourceError::no_host().into();
    let mut standby = None;
    for host in hosts {
        let connected = address.enter(host, |socket| {
            let login = address.login(host, &socket);
            connect_by(socket, login, address, application_name)
        });
        let found = match connected.await {
            // With one host there is no choice: the relay itself looks whether it is a standby.
            Ok(found) if hosts.len() > 1 => is_standby(&found.0).await.map(|is| (found, is)),
            Ok(found) => Ok((found, false)),
            Err(error) => Err(error),
        };
        match found {
            Ok((found, true)) => standby = Some(found),
            Ok((found, false)) => return Ok(chosen(found, on_end)),
            // One that does not answer hides none of those behind it.
            Err(error) => failure = error,
        }
    }
    match standby {
        Some(found) => Ok(chosen(found, on_end)),
        None => Err(failure),
    }
}

/// A connection by a socket, and the way to say what is to run at its end.
async fn connect_by(
    socket: Socket,
    login: Login,
    address: &Address,
    application_name: &str,
) -> Result<(Client, oneshot::Sender<OnEnd>), SourceFailure> {
    let doing = "connecting to PostgreSQL";
    let (config, guard) = address.for_driver(login, application_name);
    let answer_max = address.answer_max();
    let starting = tokio::time::timeout(answer_max, config.connect_raw(socket, guard)).await;
    let (client, connection) = starting
        .map_err(|_| timed_out(doing, answer_max))?
        .map_err(|error| failure_of(&error, doing))?;
    let (sender, on_end) = oneshot::channel::<OnEnd>();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Whoever waits for an answer hears only that the connection is closed.
            match of_connection(&error) {
                Some(failure) => {
                    tracing::warn!(error = %failure.message, "the connection for SQL ended")
                }
                None => tracing::debug!(%error, "the connection for SQL ended"),
            }
        }
        // One that was not chosen ends without a word.
        if let Ok(on_end) = on_end.await {
            on_end();
        }
    });
    // What the relay writes is a promise: on disk before it is answered, whatever the default is.
    let limits = format!(
        "set statement_timeout = {0}; set lock_timeout = {1}; \
         set idle_in_transaction_session_timeout = {0}; \
         select pg_catalog.set_config('synchronous_commit', 'local', false) \
         where pg_catalog.current_setting('synchronous_commit') = 'off'",
        STATEMENT_MAX.as_millis(),
        LOCK_MAX.as_millis()
    );
    bounded("setting limits", client.batch_execute(&limits)).await?;
    Ok((client, sender))
}

fn chosen(
    (client, end): (Client, oneshot::Sender<OnEnd>),
    on_end: impl FnOnce() + Send + 'static,
) -> Client {
    // The receiver waits with the connection.
    let _ = end.send(Box::new(on_end));
    client
}

async fn is_standby(client: &Client) -> Result<bool, SourceFailure> {
    let doing = "asking whether the server is a standby";
    let asked = client.query_one("select pg_catalog.pg_is_in_recovery()", &[]);
    let row = bounded(doing, asked).await?;
    row.try_get(0).map_err(|error| failure_of(&error, doing))
}

/// Waits for a statement's answer, but not for ever.
pub(super) async fn bounded<T>(
    doing: &str,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SourceFailure> {
    within(STATEMENT_MAX + STATEMENT_MAX / 2, doing, statement).await
}

/// Waits so long for an answer.
pub(crate) async fn within<T>(
    answer_max: Duration,
    doing: &str,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SourceFailure> {
    match tokio::time::timeout(answer_max, answer).await {
        Ok(answer) => answer.map_err(|error| failure_of(&error, doing)),
        Err(_) => Err(timed_out(doing, answer_max)),
    }
}

fn timed_out(doing: &str, limit: Duration) -> SourceFailure {
    SourceFailure {
        kind: FailureKind::Unreachable,
        message: format!("{doing}: no answer within {} s", limit.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_that_accepts_and_says_nothing_is_passed_over() {
        let server = testbed::shared_postgres().await.unwrap();
        // The kernel accepts for it; nobody answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = silent.local_addr().unwrap();
        let there = format!("{}:{}", server.host(), server.port());
        let url = server.url(server.superuser(), "postgres");
        assert!(url.contains(&there), "{url}");
        let url = url.replacen(&there, &format!("{here},{there}"), 1);
        let address = Address::parse(&format!("{url}?connect_timeout=1")).unwrap();
        let client = connect(&address, "tests", || {}).await.unwrap();
        assert!(!is_standby(&client).await.unwrap());
    }

    #[tokio::test]
    async fn a_host_that_lets_us_in_and_answers_nothing_more_is_passed_over() {
        let role = testbed::unique::name("relay").replace('-', "_");
        let speechless = testbed::PostgresServer::start().await.unwrap();
        let server = testbed::shared_postgres().await.unwrap();
        let create = format!("create role {role} login");
        for (address, mute) in [(speechless.address(), true), (server, false)] {
            let client = address.connect(address.superuser(), "postgres").await;
            let client = client.unwrap();
            client.batch_execute(&create).await.unwrap();
            if mute {
                let revoke =
                    "revoke execute on function pg_catalog.pg_is_in_recovery() from public";
                client.batch_execute(revoke).await.unwrap();
            }
        }
        let there = format!("{}:{}", server.host(), server.port());
        let first = speechless.address();
        let both = format!("{}:{},{there}", first.host(), first.port());
        let url = server.url(&role, "postgres").replacen(&there, &both, 1);
        let client = connect(&Address::parse(&url).unwrap(), "tests", || {}).await;
        let port = "select current_setting('port')::int";
        let port: i32 = client.unwrap().query_one(port, &[]).await.unwrap().get(0);
        assert_eq!(u32::try_from(port).unwrap(), u32::from(server.port()));
        // With nothing behind it, its error is what is told.
        let only = both.replace(&there, &format!("{}:{}", first.host(), first.port()));
        let url = server.url(&role, "postgres").replacen(&there, &only, 1);
        let failure = connect(&Address::parse(&url).unwrap(), "tests", || {}).await;
        let failure = failure.unwrap_err();
        assert!(failure.message.contains("pg_is_in_recovery"), "{failure}");
    }
}
