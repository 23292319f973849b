use outbox_core::MessageId;
use outbox_core::relay::SourceFailure;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Session, column};

const DOING: &str = "reading what was refused";

/// How a message's text is cut that says why it was refused.
const ERROR_CHARACTERS_MAX: i32 = 250;

/// A message of a request that was not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) request: Uuid,
    pub(crate) id: MessageId,
    /// Where it was to go, or was published before.
    pub(crate) destination: String,
    pub(crate) reason: String,
    pub(crate) error: String,
}

impl LeftOut {
    /// So many are named; all are counted.
    pub(crate) const NAMED_MAX: usize = 10;

    /// Reads so many rows about a request, whose columns are `id`, `destination`, `reason` and
    /// `error`: `rows` says of which table, and which, of request `$1` and up to `$2`.
    pub(crate) async fn read(
        session: &Session,
        request: Uuid,
        count_max: usize,
        rows: &str,
    ) -> Result<Vec<Self>, SourceFailure> {
        let sql = format!(
            "select id, left(destination, $3) as destination, reason, left(error, $3) as error
             from {rows} limit $2"
        );
        let limit = i64::try_from(count_max).unwrap_or_default();
        let rows = session
            .rows(DOING, &sql, &[&request, &limit, &ERROR_CHARACTERS_MAX])
            .await?;
        let read = |row: &Row| {
            Ok(Self {
                request,
                id: column::<Uuid>(row, "id", DOING)?.into(),
                destination: column(row, "destination", DOING)?,
                reason: column(row, "reason", DOING)?,
                error: column(row, "error", DOING)?,
            })
        };
        rows.iter().map(read).collect()
    }
}
