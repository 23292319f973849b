//! The rule that keeps a key's messages in their order.
//!
//! A key is blocked while one of its messages waits, or is being replayed, that blocks it. Of a
//! blocked key, from the first such message on, nothing may be chosen while an earlier one waits that
//! is not chosen: it would overtake. Messages before it, and those of other keys, are free.

use std::collections::HashSet;

use outbox_core::Position;
use outbox_core::relay::SourceFailure;

use super::Session;
use super::session::count;

/// Those of these messages, by their place among them, that would overtake.
pub(super) async fn overtaking(
    session: &Session,
    chosen: &[Position],
) -> Result<HashSet<usize>, SourceFailure> {
    const DOING: &str = "looking for messages that would overtake";
    let mut values = session.values();
    let (lsns, indexes) = columns(chosen);
    values.add(lsns);
    values.add(indexes);
    let sql = "
        with chosen as (
            select g.lsn::pg_lsn as commit_lsn, g.index, g.number
            from unnest($3::text[], $4::int8[]) with ordinality as g (lsn, index, number)
        ), mine as (
            select p.destination, p.key, p.commit_lsn, p.index, c.number
            from chosen as c join {schema}.parked as p
                 on (p.relay, p.system_id, p.commit_lsn, p.index)
                    = ($1, $2, c.commit_lsn, c.index)
            where p.key is not null
        ), keys as (
            select distinct destination, key from mine
        ), blocked as (
            select distinct on (b.destination, b.key) b.destination, b.key, b.commit_lsn, b.index
            from keys as k join {schema}.parked as b
                 on (b.destination, b.key) = (k.destination, k.key)
            where (b.relay, b.system_id) = ($1, $2)
              and b.blocks_key and b.state in ('waiting', 'replaying')
            order by b.destination, b.key, b.commit_lsn, b.index
        ), left_waiting as (
            select distinct on (w.destination, w.key) w.destination, w.key, w.commit_lsn, w.index
            from blocked as b join {schema}.parked as w
                 on (w.destination, w.key) = (b.destination, b.key)
            where (w.relay, w.system_id) = ($1, $2) and w.state = 'waiting'
              and (w.commit_lsn, w.index) >= (b.commit_lsn, b.index)
              and not exists (select from chosen as c
                              where (c.commit_lsn, c.index) = (w.commit_lsn, w.index))
            order by w.destination, w.key, w.commit_lsn, w.index
        )
        select mine.number - 1 as place
        from mine join left_waiting as w using (destination, key)
        where (mine.commit_lsn, mine.index) > (w.commit_lsn, w.index)";
    let rows = session.rows(DOING, sql, &values.as_parameters()).await?;
    let place = |row| Ok(usize::try_from(count(row, "place", DOING)?).unwrap_or(usize::MAX));
    rows.iter().map(place).collect()
}

/// Positions as a statement takes them: two columns.
pub(super) fn columns(positions: &[Position]) -> (Vec<String>, Vec<i64>) {
    positions
        .iter()
        .map(|position| (position.commit_lsn.to_string(), i64::from(position.index)))
        .unzip()
}
