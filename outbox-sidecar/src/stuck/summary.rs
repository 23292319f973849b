use super::StuckError;
use super::filter::{Filter, StateFilter};
use crate::operator::{Session, column, count};

const DOING: &str = "counting outbox.parked";

/// All messages that fit, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// How many there are of each reason and state, the most first.
    pub(crate) counts: Vec<ReasonCount>,
    /// Keys of this cluster whose later messages wait.
    pub(crate) blocked_keys: u64,
    /// How long ago the first of those was set aside that are not settled, in seconds.
    pub(crate) oldest_age_s: Option<u64>,
}

/// How many there are of one reason in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReasonCount {
    pub(crate) reason: String,
    pub(crate) state: String,
    pub(crate) messages: u64,
}

impl Summary {
    /// All of them.
    pub(crate) fn messages(&self) -> u64 {
        self.counts.iter().map(|count| count.messages).sum()
    }
}

/// Counts all messages of this relay that fit, whatever page is listed.
pub(crate) async fn summarise(
    session: &Session,
    filter: &Filter,
    states: StateFilter,
) -> Result<Summary, StuckError> {
    let mut values = session.values();
    let filter = filter.sql(&mut values);
    let states = states.sql();
    let unsettled = StateFilter::Unsettled.sql();
    let sql = format!(
        "select p.reason, p.state, count(*) as messages,
                (count(distinct (p.destination, p.key))
                    filter (where p.blocks_key and {unsettled} and p.system_id = $2)
                )::int8 as keys,
                (extract(epoch from clock_timestamp() - min(p.parked_at)
                    filter (where {unsettled})))::int8 as age_s
         from {{schema}}.parked as p
         where p.relay = $1 and {filter} and {states}
         group by grouping sets ((), (p.reason, p.state))
         having count(*) > 0
         order by grouping(p.reason) desc, count(*) desc, p.reason, p.state"
    );
    let rows = session.rows(DOING, &sql, &values.as_parameters()).await?;
    let mut summary = Summary::default();
    let Some((total, reasons)) = rows.split_first() else {
        return Ok(summary);
    };
    summary.blocked_keys = count(total, "keys", DOING)?;
    let age_s: Option<i64> = column(total, "age_s", DOING)?;
    // A clock that was set back makes it negative.
    summary.oldest_age_s = age_s.map(|age_s| u64::try_from(age_s).unwrap_or(0));
    for row in reasons {
        summary.counts.push(ReasonCount {
            reason: column(row, "reason", DOING)?,
            state: column(row, "state", DOING)?,
            messages: count(row, "messages", DOING)?,
        });
    }
    Ok(summary)
}
