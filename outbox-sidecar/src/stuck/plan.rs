use std::fmt;

use outbox_core::relay::SourceFailure;
use outbox_core::{MessageId, Position};
use tokio_postgres::Row;
use uuid::Uuid;

use super::StuckError;
use super::filter::Filter;
use crate::operator::{Extent, Session, column, count, position};

const DOING: &str = "counting what is chosen";

/// So many of each are named; all are counted.
const NAMED_MAX: usize = 10;

/// What a choice of messages means, before anything is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// What waits and fits.
    pub(crate) chosen: Extent,
    /// How many of them were never refused, and merely wait for their key.
    pub(crate) merely_wait: u64,
    /// How many wait in all, if none of them fits.
    pub(crate) waiting: u64,
    /// The last of them: what is set aside from now on is not chosen.
    pub(crate) last: Option<Position>,
    pub(crate) last_id: Option<MessageId>,
    /// What merely waits behind them, and goes with them.
    pub(crate) taken_along: u64,
    /// How many of them would overtake, and of how many keys.
    pub(crate) refused: u64,
    pub(crate) refused_key_count: u64,
    pub(crate) refused_keys: Vec<RefusedKey>,
    /// What fits and is in somebody's request already.
    pub(crate) taken: Vec<TakenBy>,
    /// What fits and was replayed or skipped.
    pub(crate) settled: u64,
    /// What fits, waits, and lies in another cluster's log.
    pub(crate) foreign: u64,
}

/// Messages that somebody else's request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TakenBy {
    pub(crate) request: Uuid,
    pub(crate) kind: String,
    pub(crate) actor: String,
    pub(crate) messages: u64,
}

/// A key of which chosen messages would overtake others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedKey {
    pub(crate) destination: String,
    pub(crate) key: String,
    /// How many chosen messages.
    pub(crate) messages: u64,
    /// How many wait before the last of them and are not chosen.
    pub(crate) earlier: u64,
    /// The first of those.
    pub(crate) first: MessageId,
}

impl fmt::Display for RefusedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "of key {:?} for {:?}, {} that {} not chosen, the first is {}: replay or skip that first, \
             or choose the whole key (--destination, --key)",
            self.key,
            self.destination,
            match self.earlier {
                1 => "1 earlier one waits".to_owned(),
                more => format!("{more} earlier ones wait"),
            },
            if self.earlier == 1 { "is" } else { "are" },
            self.first
        )
    }
}

/// Says what choosing everything that waits and fits would mean.
///
/// # Errors
/// [`StuckError::Unknown`] when a message is named that this relay never set aside.
pub(crate) async fn plan(session: &Session, filter: &Filter) -> Result<Plan, StuckError> {
    require_known(session, &filter.ids).await?;
    let mut plan = Plan {
        taken: taken_by_others(session, filter, &[]).await?,
        ..Plan::default()
    };
    count_fitting(session, filter, &mut plan).await?;
    if plan.chosen.messages > 0 {
        (plan.last, plan.last_id) = last(session, filter).await?.unzip();
        count_destinations(session, filter, &mut plan).await?;
        judge_order(session, filter, &mut plan).await?;
    } else {
        plan.waiting = count_waiting(session).await?;
    }
    Ok(plan)
}

async fn require_known(session: &Session, ids: &[MessageId]) -> Result<(), StuckError> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = ids.iter().copied().map(Uuid::from).collect();
    let sql = "select g.id from unnest($2::uuid[]) as g (id)
               where not exists (select from {schema}.parked as p
                                 where p.relay = $1 and p.id = g.id)";
    let rows = session.rows(DOING, sql, &[&session.relay(), &ids]).await?;
    let unknown = rows
        .iter()
        .map(|row| column::<Uuid>(row, "id", DOING).map(MessageId::from));
    let unknown: Vec<_> = unknown.collect::<Result<_, _>>()?;
    if unknown.is_empty() {
        return Ok(());
    }
    Err(StuckError::Unknown {
        ids: unknown,
        relay: session.relay().to_owned(),
    })
}

async fn count_fitting(
    session: &Session,
    filter: &Filter,
    plan: &mut Plan,
) -> Result<(), SourceFailure> {
    let mut values = session.values();
    let filter = filter.sql(&mut values);
    let chosen = "p.state = 'waiting' and p.system_id = $2";
    let sql = format!(
        "select count(*) filter (where {chosen}) as messages,
                coalesce(sum(octet_length(p.payload)) filter (where {chosen}), 0)::int8
                    as payload_bytes,
                (count(distinct (p.destination, p.key))
                    filter (where {chosen} and p.key is not null))::int8 as keys,
                count(*) filter (where {chosen} and p.reason = 'key-blocked') as merely_wait,
                count(*) filter (where p.state in ('replayed', 'skipped')) as settled,
                count(*) filter (where p.state = 'waiting' and p.system_id <> $2) as foreign_rows
         from {{schema}}.parked as p where p.relay = $1 and {filter}"
    );
    let row = session.row(DOING, &sql, &values.as_parameters()).await?;
    plan.chosen = Extent::read(&row, DOING)?;
    plan.merely_wait = count(&row, "merely_wait", DOING)?;
    plan.settled = count(&row, "settled", DOING)?;
    plan.foreign = count(&row, "foreign_rows", DOING)?;
    Ok(())
}

async fn count_waiting(session: &Session) -> Result<u64, SourceFailure> {
    let sql = "select count(*) as messages from {schema}.parked
               where (relay, system_id) = ($1, $2) and state = 'waiting'";
    let values = session.values();
    let row = session.row(DOING, sql, &values.as_parameters()).await?;
    count(&row, "messages", DOING)
}

async fn last(
    session: &Session,
    filter: &Filter,
) -> Result<Option<(Position, MessageId)>, SourceFailure> {
    let mut values = session.values();
    let filter = filter.sql(&mut values);
    let sql = format!(
        "select p.commit_lsn::text as lsn, p.index, p.id from {{schema}}.parked as p
         where (p.relay, p.system_id) = ($1, $2) and p.state = 'waiting' and {filter}
         order by p.commit_lsn desc, p.index desc limit 1"
    );
    let rows = session.rows(DOING, &sql, &values.as_parameters()).await?;
    let read = |row: &Row| {
        let id = column::<Uuid>(row, "id", DOING)?.into();
        Ok((position(row, DOING)?, id))
    };
    rows.first().map(read).transpose()
}

async fn count_destinations(
    session: &Session,
    filter: &Filter,
    plan: &mut Plan,
) -> Result<(), SourceFailure> {
    let mut values = session.values();
    let filter = filter.sql(&mut values);
    let sql = format!(
        "select left(p.destination, 250) as destination, count(*) as messages,
                count(*) over () as destinations
         from {{schema}}.parked as p
         where (p.relay, p.system_id) = ($1, $2) and p.state = 'waiting' and {filter}
         group by p.destination
         order by count(*) desc, p.destination limit {}",
        Extent::NAMED_MAX
    );
    let rows = session.rows(DOING, &sql, &values.as_parameters()).await?;
    plan.chosen.add_destinations(&rows, DOING)
}

/// The rule of [`super::order`], for everything that fits, and what goes with it.
async fn judge_order(
    session: &Session,
    filter: &Filter,
    plan: &mut Plan,
) -> Result<(), SourceFailure> {
    let mut values = session.values();
    let filter = filter.sql(&mut values);
    let sql = format!(
        "with blocked as (
             select distinct on (b.destination, b.key) b.destination, b.key, b.commit_lsn, b.index
             from {{schema}}.parked as b
             where (b.relay, b.system_id) = ($1, $2)
               and b.blocks_key and b.state in ('waiting', 'replaying')
             order by b.destination, b.key, b.commit_lsn, b.index
         ), behind as (
             select p.destination, p.key, p.id, p.reason, {filter} as is_chosen,
                    row_number() over (partition by p.destination, p.key
                                       order by p.commit_lsn, p.index) as place
             from {{schema}}.parked as p join blocked as b
                  on (b.destination, b.key) = (p.destination, p.key)
             where (p.relay, p.system_id) = ($1, $2) and p.state = 'waiting'
               and (p.commit_lsn, p.index) >= (b.commit_lsn, b.index)
         ), of_key as (
             select destination, key,
                    min(place) filter (where not is_chosen) as gap,
                    max(place) filter (where is_chosen) as last,
                    coalesce(min(place) filter (where not is_chosen and reason <> 'key-blocked'),
                             max(place) + 1) as refused_again
             from behind group by destination, key having bool_or(is_chosen)
         ), judged as (
             select destination, key,
                    count(*) filter (where is_chosen and place > gap) as refused,
                    count(*) filter (where not is_chosen and place < last) as earlier,
                    (array_agg(id) filter (where place = gap))[1] as first,
                    greatest(coalesce(min(refused_again - gap), 0), 0) as following
             from behind join of_key using (destination, key) group by destination, key
         )
         select left(destination, 250) as destination, left(key, 250) as key, refused, earlier,
                first, (sum(refused) over ())::int8 as all_refused,
                count(*) filter (where refused > 0) over () as keys_refused,
                (sum(case when refused = 0 then following else 0 end) over ())::int8 as along
         from judged order by refused = 0, destination, key limit {NAMED_MAX}"
    );
    for row in session.rows(DOING, &sql, &values.as_parameters()).await? {
        plan.refused = count(&row, "all_refused", DOING)?;
        plan.refused_key_count = count(&row, "keys_refused", DOING)?;
        plan.taken_along = count(&row, "along", DOING)?;
        let messages = count(&row, "refused", DOING)?;
        if messages > 0 {
            plan.refused_keys.push(RefusedKey {
                destination: column(&row, "destination", DOING)?,
                key: column(&row, "key", DOING)?,
                messages,
                earlier: count(&row, "earlier", DOING)?,
                first: column::<Uuid>(&row, "first", DOING)?.into(),
            });
        }
    }
    Ok(())
}

/// What fits and is being replayed or skipped by requests other than these.
pub(super) async fn taken_by_others(
    session: &Session,
    filter: &Filter,
    ours: &[Uuid],
) -> Result<Vec<TakenBy>, SourceFailure> {
    let mut values = session.values();
    let filter = filter.sql(&mut values);
    let ours = values.add(ours.to_vec());
    let sql = format!(
        "select r.id, r.kind, left(r.actor, 250) as actor, count(*) as messages
         from {{schema}}.parked as p join {{schema}}.request as r on r.id = p.request
         where (p.relay, p.system_id) = ($1, $2) and p.state = 'replaying' and {filter}
           and r.id <> all({ours}::uuid[])
         group by r.id order by count(*) desc, r.id limit {NAMED_MAX}"
    );
    let rows = session.rows(DOING, &sql, &values.as_parameters()).await?;
    let read = |row: &Row| {
        Ok(TakenBy {
            request: column(row, "id", DOING)?,
            kind: column(row, "kind", DOING)?,
            actor: column(row, "actor", DOING)?,
            messages: count(row, "messages", DOING)?,
        })
    };
    rows.iter().map(read).collect()
}
