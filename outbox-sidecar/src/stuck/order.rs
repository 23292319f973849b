//! The rule that keeps a key's messages in their order.
//!
//! A key is blocked while one of its messages waits, or is being replayed, that blocks it. Of a
//! blocked key, from the first such message on, nothing may be chosen while an earlier one waits that
//! is not chosen: it would overtake. Messages before it, and those of other keys, are free.

use std::collections::{HashMap, HashSet};

use outbox_core::Position;
use outbox_core::relay::SourceFailure;
use tokio_postgres::Row;

use crate::operator::{Session, column, count, position};

const DOING: &str = "looking for messages that would overtake";

/// A chosen message of a key that is blocked.
struct OfBlockedKey {
    /// Its place among the chosen messages.
    place: usize,
    /// A hash of destination and key, which may be of any length.
    key: i64,
    /// Where the first message stands that blocks the key.
    blocked_from: Position,
}

/// Those of these messages, by their place among them, that would overtake. They are in the order of
/// the log.
pub(super) async fn overtaking(
    session: &Session,
    chosen: &[Position],
) -> Result<HashSet<usize>, SourceFailure> {
    let of_blocked = of_blocked_keys(session, chosen).await?;
    let first = of_blocked.iter().map(|message| message.blocked_from).min();
    let (Some(first), Some(last)) = (first, chosen.last()) else {
        return Ok(HashSet::new());
    };
    let left = left_waiting(session, chosen, &of_blocked, first, *last).await?;
    let overtakes = |message: &&OfBlockedKey| {
        let earlier = left.get(&message.key);
        earlier
            .zip(chosen.get(message.place))
            .is_some_and(|(earlier, own)| earlier < own)
    };
    let overtaking = of_blocked.iter().filter(overtakes);
    Ok(overtaking.map(|message| message.place).collect())
}

async fn of_blocked_keys(
    session: &Session,
    chosen: &[Position],
) -> Result<Vec<OfBlockedKey>, SourceFailure> {
    let mut values = session.values();
    let (lsns, indexes) = columns(chosen);
    values.add(lsns);
    values.add(indexes);
    let sql = "
        with mine as (
            select p.destination, p.key, c.number
            from unnest($3::text[], $4::int8[]) with ordinality as c (lsn, index, number)
                 join {schema}.parked as p
                 on (p.relay, p.system_id, p.commit_lsn, p.index)
                    = ($1, $2, c.lsn::pg_lsn, c.index)
            where p.key is not null
        ), blocked as (
            select distinct on (b.destination, b.key) b.destination, b.key, b.commit_lsn, b.index
            from {schema}.parked as b
            where (b.relay, b.system_id) = ($1, $2)
              and b.blocks_key and b.state in ('waiting', 'replaying')
              and (b.destination, b.key) in (select destination, key from mine)
            order by b.destination, b.key, b.commit_lsn, b.index
        )
        select mine.number - 1 as place, b.commit_lsn::text as lsn, b.index,
               hashtextextended(destination, hashtextextended(key, 0)) as hash
        from mine join blocked as b using (destination, key)";
    let rows = session.rows(DOING, sql, &values.as_parameters()).await?;
    let read = |row: &Row| {
        Ok(OfBlockedKey {
            place: usize::try_from(count(row, "place", DOING)?).unwrap_or(usize::MAX),
            key: column(row, "hash", DOING)?,
            blocked_from: position(row, DOING)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Of each of these keys the first message between two positions that waits and is not chosen. Only
/// that part of the log is read: how many messages wait in all does not matter.
async fn left_waiting(
    session: &Session,
    chosen: &[Position],
    of_blocked: &[OfBlockedKey],
    first: Position,
    last: Position,
) -> Result<HashMap<i64, Position>, SourceFailure> {
    let keys: HashMap<_, _> = of_blocked
        .iter()
        .map(|message| (message.key, message.blocked_from))
        .collect();
    let (hashes, blocked_from): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let mut values = session.values();
    let (lsns, indexes) = columns(chosen);
    let (blocked_lsns, blocked_indexes) = columns(&blocked_from);
    values.add(lsns);
    values.add(indexes);
    values.add(hashes);
    values.add(blocked_lsns);
    values.add(blocked_indexes);
    for bound in [first, last] {
        values.add(bound.commit_lsn.to_string());
        values.add(i64::from(bound.index));
    }
    let sql = "
        select distinct on (b.hash) b.hash, w.commit_lsn::text as lsn, w.index
        from unnest($5::int8[], $6::text[], $7::int8[]) as b (hash, lsn, index)
             join {schema}.parked as w
             on hashtextextended(w.destination, hashtextextended(w.key, 0)) = b.hash
        where (w.relay, w.system_id) = ($1, $2) and w.state = 'waiting'
          and (w.commit_lsn, w.index) >= ($8::text::pg_lsn, $9::int8)
          and (w.commit_lsn, w.index) <= ($10::text::pg_lsn, $11::int8)
          and (w.commit_lsn, w.index) >= (b.lsn::pg_lsn, b.index)
          and not exists (select from unnest($3::text[], $4::int8[]) as c (lsn, index)
                          where (c.lsn::pg_lsn, c.index) = (w.commit_lsn, w.index))
        order by b.hash, w.commit_lsn, w.index";
    let rows = session.rows(DOING, sql, &values.as_parameters()).await?;
    let read = |row: &Row| Ok((column(row, "hash", DOING)?, position(row, DOING)?));
    rows.iter().map(read).collect()
}

/// Positions as a statement takes them: two columns.
pub(super) fn columns(positions: &[Position]) -> (Vec<String>, Vec<i64>) {
    positions
        .iter()
        .map(|position| (position.commit_lsn.to_string(), i64::from(position.index)))
        .unzip()
}
