use std::time::Duration;

use outbox_core::relay::SourceFailure;
use outbox_core::{MessageId, Timestamp};

use super::RedeliveryError;
use crate::operator::{Session, Values, column, conditions, count, time};
use crate::sink::message_text::timestamp_text;

const DOING: &str = "choosing messages of outbox.message";

/// The longest that choosing may take on the server: it reads and sorts the whole range.
pub(super) const CHOOSING_MAX: Duration = Duration::from_secs(3600);

/// Of so many messages is kept together from which time on to repeat the command.
const BLOCK: i64 = 100;

/// Which messages: those that were enqueued in this range and fit every condition that was given, and
/// of each condition any value.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// At this time or later.
    pub(crate) from: Timestamp,
    /// Before this time.
    pub(crate) to: Timestamp,
    /// Where they were published.
    pub(crate) destinations: Vec<String>,
    pub(crate) keys: Vec<String>,
    pub(crate) types: Vec<String>,
    pub(crate) ids: Vec<MessageId>,
    /// What the relay carries of the outbox.
    pub(crate) row_filter: Option<String>,
}

/// What tells in which order messages were committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The server keeps the time of each commit.
    CommitTime,
    /// When they were enqueued: transactions that overlapped may change places.
    CreatedAt,
}

/// Messages that were put by in the session, numbered from 1.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) messages: i64,
    /// Of each block of messages, the earliest time at which it or a later one was enqueued.
    earliest: Vec<Timestamp>,
}

impl Selection {
    /// The messages as they were published: `place` in their order, none of what is set aside; corrected
    /// or sent elsewhere where their replay was.
    pub(super) fn sql(&self, order: Order, values: &mut Values) -> String {
        let [from, to] = [self.from, self.to].map(|time| values.add(timestamp_text(time)));
        let carried = self.row_filter.as_deref().unwrap_or("true");
        let fits = self.conditions(values);
        let by = match order {
            Order::CommitTime => {
                // It forgets the times of what is old, and what was there before it kept any.
                "pg_catalog.pg_xact_commit_timestamp(c.written_by) nulls first,
                 case when pg_catalog.pg_xact_commit_timestamp(c.written_by) is null
                      then c.created_at end, c.command"
            }
            // A savepoint has a transaction id of its own, and commands are numbered through.
            Order::CreatedAt => "c.created_at, c.command",
        };
        format!(
            "select case when not c.is_set_aside then
                         row_number() over (partition by c.is_set_aside
                                            order by {by}, c.of_table, c.line)
                    end as place,
                    c.is_set_aside, c.id, c.destination, c.key, c.type, c.content_type, c.payload,
                    c.headers, c.created_at
             from (
                 select m.written_by, m.command, m.of_table, m.line, m.id, m.key, m.created_at,
                        coalesce(s.destination, m.destination) as destination,
                        case when s.edited then s.type else m.type end as type,
                        case when s.edited then s.content_type else m.content_type end
                            as content_type,
                        case when s.edited then s.payload else m.payload end as payload,
                        case when s.edited then s.headers else m.headers end as headers,
                        exists (
                            select from {{schema}}.parked as p
                            where p.id = m.id and p.relay = $1 and p.state <> 'replayed'
                              and p.created_at = m.created_at
                        ) as is_set_aside
                 from (
                     select xmin as written_by, cmin::text::int8 as command,
                            tableoid as of_table, ctid as line, id, destination, key, type,
                            content_type, payload, headers, created_at
                     from {{schema}}.message
                     where created_at >= {from}::text::timestamptz
                       and created_at < {to}::text::timestamptz and ({carried})
                 ) as m left join lateral (
                     select r.destination, r.edited, r.type, r.content_type, r.payload, r.headers
                     from {{schema}}.parked as p join {{schema}}.request as r
                          on r.id = p.request and p.request_index < r.chosen
                     where p.id = m.id and p.relay = $1 and p.state = 'replayed'
                       and p.created_at = m.created_at
                     order by p.settled_at desc limit 1
                 ) as s on true
             ) as c where {fits}"
        )
    }

    fn conditions(&self, values: &mut Values) -> String {
        let columns = [
            ("destination", &self.destinations),
            ("key", &self.keys),
            ("type", &self.types),
        ];
        conditions('c', &self.ids, &columns, values).join(" and ")
    }
}

impl Order {
    /// What this server can tell.
    pub(crate) async fn of(session: &Session) -> Result<Self, SourceFailure> {
        let doing = "asking whether times of commits are kept";
        let sql = "select pg_catalog.current_setting('track_commit_timestamp') = 'on' as is_kept";
        let row = session.row(doing, sql, &[]).await?;
        Ok(if column(&row, "is_kept", doing)? {
            Self::CommitTime
        } else {
            Self::CreatedAt
        })
    }

    /// For programs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::CommitTime => "commit-time",
            Self::CreatedAt => "created-at",
        }
    }
}

impl Chosen {
    /// From which time on to choose again for everything behind so many messages.
    pub(super) fn earliest_after(&self, messages: i64) -> Option<Timestamp> {
        if messages >= self.messages {
            return None;
        }
        let block = usize::try_from(messages / BLOCK).ok()?;
        self.earliest.get(block).copied()
    }
}

/// Puts the messages by in a temporary table, which ends with the session.
///
/// # Errors
/// [`RedeliveryError::Database`].
pub(crate) async fn choose(
    session: &Session,
    selection: &Selection,
    order: Order,
) -> Result<Chosen, RedeliveryError> {
    let make = "create temporary table outbox_chosen (
                    place bigint, is_set_aside boolean, id uuid, destination text, key text, type text,
                    content_type text, payload bytea, headers jsonb, created_at timestamptz
                )";
    session.execute(DOING, make, &[]).await?;
    let mut values = Values::default();
    values.add(session.relay().to_owned());
    let chosen = selection.sql(order, &mut values);
    let sql = format!("insert into pg_temp.outbox_chosen {chosen}");
    session
        .execute_for(CHOOSING_MAX, DOING, &sql, &values.as_parameters())
        .await?;
    let index = "create unique index on pg_temp.outbox_chosen (place)";
    session.execute_for(CHOOSING_MAX, DOING, index, &[]).await?;
    session
        .execute_for(CHOOSING_MAX, DOING, "analyze pg_temp.outbox_chosen", &[])
        .await?;
    let sql = "select (place - 1) / $1::int8 as block, count(*) as messages,
                      (extract(epoch from min(created_at)) * 1000000)::int8 as earliest
               from pg_temp.outbox_chosen where place is not null group by 1 order by 1";
    let blocks = session
        .rows_for(CHOOSING_MAX, DOING, sql, &[&BLOCK])
        .await?;
    let (mut messages, mut earliest) = (0, Vec::with_capacity(blocks.len()));
    for row in &blocks {
        messages += count(row, "messages", DOING)?;
        earliest.extend(time(row, "earliest", DOING)?);
    }
    let mut later = None;
    for time in earliest.iter_mut().rev() {
        let known = later.map_or(*time, |later: Timestamp| later.min(*time));
        (*time, later) = (known, Some(known));
    }
    Ok(Chosen {
        messages: i64::try_from(messages).unwrap_or(i64::MAX),
        earliest,
    })
}
