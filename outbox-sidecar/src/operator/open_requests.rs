use outbox_core::relay::SourceFailure;

use super::{Session, column, count};

const DOING: &str = "looking for requests that are open";

/// How a text is cut that somebody else wrote.
const CHARACTERS_MAX: i32 = 250;

/// What the relay was asked for before, and has not carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenRequests {
    pub(crate) count: u64,
    /// Whoever asks for the same redelivery once more gets it twice.
    pub(crate) newest: Option<OpenRequest>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenRequest {
    pub(crate) kind: String,
    pub(crate) actor: String,
    /// Messages that it names.
    pub(crate) chosen: u64,
    pub(crate) age_s: u64,
}

impl OpenRequests {
    /// Reads them, of the session's relay.
    pub(crate) async fn read(session: &Session) -> Result<Self, SourceFailure> {
        let sql = "select kind, left(actor, $2) as actor, chosen,
                          greatest(extract(epoch from now() - requested_at), 0)::int8 as age_s,
                          count(*) over () as requests
                   from {schema}.request where relay = $1 and state <> 'done'
                   order by requested_at desc limit 1";
        let rows = session
            .rows(DOING, sql, &[&session.relay(), &CHARACTERS_MAX])
            .await?;
        let Some(row) = rows.first() else {
            return Ok(Self::default());
        };
        Ok(Self {
            count: count(row, "requests", DOING)?,
            newest: Some(OpenRequest {
                kind: column(row, "kind", DOING)?,
                actor: column(row, "actor", DOING)?,
                chosen: count(row, "chosen", DOING)?,
                age_s: count(row, "age_s", DOING)?,
            }),
        })
    }
}
