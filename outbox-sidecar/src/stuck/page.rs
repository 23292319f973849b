use outbox_core::Position;

use super::StuckError;
use super::filter::{Filter, StateFilter};
use super::row::{LISTED_CHARACTERS_MAX, ParkedRow, columns};
use crate::operator::Session;

const DOING: &str = "listing outbox.parked";

/// So many rows are read at a time.
const ROWS_MAX: usize = 1000;

/// Which rows are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageOptions {
    pub(crate) filter: Filter,
    pub(crate) states: StateFilter,
    /// Behind this position.
    pub(crate) after: Option<Position>,
    /// How many, from 1.
    pub(crate) rows_max: usize,
}

/// Rows in the order of their messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<ParkedRow>,
    /// Where the next page begins: behind this position; `None` when there is none.
    pub(crate) next: Option<Position>,
}

/// Reads one page, of this relay's messages, also of those in other clusters' logs.
pub(crate) async fn list(session: &Session, options: &PageOptions) -> Result<Page, StuckError> {
    let mut page = Page::default();
    let mut after = options.after;
    while page.rows.len() < options.rows_max {
        let wanted = (options.rows_max - page.rows.len()).min(ROWS_MAX);
        let (rows, more) = read(session, options, after, wanted).await?;
        after = rows.last().map(|row| row.position);
        page.rows.extend(rows);
        page.next = after.filter(|_| more);
        if !more {
            break;
        }
    }
    Ok(page)
}

/// So many rows behind a position, and whether there are more. What two clusters have at one
/// position stays together.
async fn read(
    session: &Session,
    options: &PageOptions,
    after: Option<Position>,
    wanted: usize,
) -> Result<(Vec<ParkedRow>, bool), StuckError> {
    let mut values = session.values();
    let filter = options.filter.sql(&mut values);
    let states = options.states.sql();
    let behind = match after {
        None => "true".to_owned(),
        Some(position) => {
            let lsn = values.add(position.commit_lsn.to_string());
            let index = values.add(i64::from(position.index));
            format!("(p.commit_lsn, p.index) > ({lsn}::text::pg_lsn, {index}::int8)")
        }
    };
    let limit = values.add(i64::try_from(wanted).unwrap_or(i64::MAX));
    // One more, to know whether there is one: it is left for the next page.
    let sql = format!(
        "select {columns} from {{schema}}.parked as p
         where p.relay = $1 and {filter} and {states} and {behind}
         order by p.commit_lsn, p.index, p.system_id
         fetch first ({limit}::int8 + 1) rows with ties",
        columns = columns(Some(LISTED_CHARACTERS_MAX)),
    );
    let rows = session.rows(DOING, &sql, &values.as_parameters()).await?;
    let mut read = Vec::with_capacity(rows.len());
    for row in &rows {
        read.push(ParkedRow::read(row, DOING)?);
    }
    let Some(last) = read.get(wanted).map(|row| row.position) else {
        return Ok((read, false));
    };
    let kept = read.iter().take_while(|row| row.position < last).count();
    if kept > 0 {
        read.truncate(kept);
        return Ok((read, true));
    }
    // All of them are at one position.
    Ok((read, true))
}
