use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::Type;

use super::error::VerifyError;
use crate::config::Settings;
use crate::control::{connect, within};

/// How long the server may take for the next row, and for any other answer.
pub(super) const ROW_MAX: Duration = Duration::from_secs(120);

/// A connection for statements that read a whole table: each takes what it takes, and each row is
/// waited for.
pub(super) async fn connect_to_copy(settings: &Settings) -> Result<Client, VerifyError> {
    let client = connect(&settings.address, "outbox-sidecar verify", || {}).await?;
    let limits = "set statement_timeout = 0; set idle_in_transaction_session_timeout = '60s'";
    within(ROW_MAX, "setting limits", client.batch_execute(limits)).await?;
    Ok(client)
}

/// Hands over each row of a `copy … to stdout (format binary)`, read as these types.
pub(super) async fn copy_rows(
    client: &Client,
    statement: &str,
    types: &[Type],
    doing: &str,
    mut each: impl FnMut(&BinaryCopyOutRow) -> Result<(), VerifyError>,
) -> Result<(), VerifyError> {
    let stream = within(ROW_MAX, doing, client.copy_out(statement)).await?;
    let mut rows = pin!(BinaryCopyOutStream::new(stream, types));
    loop {
        let next = async { rows.next().await.transpose() };
        let Some(row) = within(ROW_MAX, doing, next).await? else {
            return Ok(());
        };
        each(&row)?;
    }
}
