use outbox_core::Position;
use outbox_core::relay::SourceFailure;
use uuid::Uuid;

use super::StuckError;
use super::edit::Edit;
use super::filter::Filter;
use super::order::{columns, overtaking};
use crate::operator::{Progress, RequestError, Session, position};

/// The most messages that a request may name.
pub(super) const CHOSEN_MAX: u32 = 1000;

/// How often a request is tried again that met another one locking the same rows.
const ATTEMPTS_MAX: usize = 3;

/// What is to become of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They are published.
    Replay,
    /// They are given up; what waits behind them is published.
    Skip,
}

impl Kind {
    /// As it stands in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Skip => "skip",
        }
    }
}

/// What a request says beside its messages.
#[derive(Clone, Debug)]
pub(super) struct Draft<'a> {
    pub(super) kind: Kind,
    /// Where the messages go instead of their own destination.
    pub(super) destination: Option<&'a str>,
    /// What takes the place of the one message's own.
    pub(super) edit: Option<&'a Edit>,
    /// Who asks; the role's name if nobody is named.
    pub(super) actor: Option<&'a str>,
    pub(super) note: Option<&'a str>,
}

/// Which messages that wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice<'a> {
    /// Those that fit, between two positions, the second included.
    Fitting {
        filter: &'a Filter,
        after: Option<Position>,
        until: Position,
    },
    /// Of each key that one of these requests concerned: the first that waits, if all that it waited
    /// for is gone.
    Released(&'a [Uuid]),
}

/// A request that was written, or what stood in its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// `None` when every message was left out.
    pub(super) request: Option<Uuid>,
    pub(super) chosen: u64,
    /// What would have overtaken: an earlier message of its key waits again.
    pub(super) left_out: u64,
    /// The last message that was looked at.
    pub(super) last: Position,
}

/// Writes one request for so many messages, or none when nothing waits any more.
pub(super) async fn make(
    session: &Session,
    progress: &Progress,
    draft: &Draft<'_>,
    choice: Choice<'_>,
    messages_max: u32,
) -> Result<Option<Made>, StuckError> {
    let mut attempt = 1;
    loop {
        let writing = session.write_request(progress, async || {
            let made = write(session, draft, choice, messages_max).await?;
            Ok((made.and_then(|made| made.request), made))
        });
        match writing.await {
            Err(RequestError::Database(failure))
                if attempt < ATTEMPTS_MAX && was_victim(&failure) =>
            {
                attempt += 1;
            }
            made => return Ok(made?),
        }
    }
}

/// The server chose this transaction to end a deadlock.
fn was_victim(failure: &SourceFailure) -> bool {
    const DEADLOCK_DETECTED: &str = "[40P01]";
    failure.message.contains(DEADLOCK_DETECTED)
}

/// Says which messages are chosen, and what was written about them.
async fn write(
    session: &Session,
    draft: &Draft<'_>,
    choice: Choice<'_>,
    messages_max: u32,
) -> Result<Option<Made>, RequestError> {
    let mut positions = lock(session, choice, messages_max.min(CHOSEN_MAX)).await?;
    let Some(last) = positions.last().copied() else {
        return Ok(None);
    };
    let overtaking = overtaking(session, &positions).await?;
    let mut place = 0..;
    positions.retain(|_| {
        place
            .next()
            .is_none_or(|place| !overtaking.contains(&place))
    });
    let made = Made {
        request: (!positions.is_empty()).then(Uuid::now_v7),
        chosen: positions.len() as u64,
        left_out: overtaking.len() as u64,
        last,
    };
    let Some(request) = made.request else {
        return Ok(Some(made));
    };
    insert(session, draft, request, positions.len()).await?;
    let found = assign(session, draft, request, &positions).await?;
    if found != made.chosen {
        let chosen = made.chosen;
        return Err(RequestError::Miscounted {
            request,
            chosen,
            found,
        });
    }
    Ok(Some(made))
}

/// Locks messages that wait, in the order of the log, and says which. Whoever asks for the same ones
/// waits here, and finds that they do not wait any more.
async fn lock(
    session: &Session,
    choice: Choice<'_>,
    messages_max: u32,
) -> Result<Vec<Position>, SourceFailure> {
    const DOING: &str = "locking messages of outbox.parked";
    let mut values = session.values();
    let fits = match choice {
        Choice::Fitting {
            filter,
            after,
            until,
        } => {
            let mut fits = filter.sql(&mut values);
            for (comparison, bound) in [(">", after), ("<=", Some(until))] {
                if let Some(position) = bound {
                    let lsn = values.add(position.commit_lsn.to_string());
                    let index = values.add(i64::from(position.index));
                    fits.push_str(&format!(
                        " and (p.commit_lsn, p.index) {comparison} \
                         ({lsn}::text::pg_lsn, {index}::int8)"
                    ));
                }
            }
            fits
        }
        Choice::Released(requests) => {
            let requests = values.add(requests.to_vec());
            format!("(p.commit_lsn, p.index) in ({})", released_sql(&requests))
        }
    };
    let limit = values.add(i64::from(messages_max));
    let sql = format!(
        "select p.commit_lsn::text as lsn, p.index from {{schema}}.parked as p
         where (p.relay, p.system_id) = ($1, $2) and p.state = 'waiting' and {fits}
         order by p.commit_lsn, p.index limit {limit}::int8 for update"
    );
    let rows = session.rows(DOING, &sql, &values.as_parameters()).await?;
    rows.iter().map(|row| position(row, DOING)).collect()
}

/// The positions of [`Choice::Released`].
pub(super) fn released_sql(requests: &str) -> String {
    format!(
        "with keys as (
             select distinct q.destination, q.key from {{schema}}.parked as q
             where q.request = any({requests}::uuid[]) and (q.relay, q.system_id) = ($1, $2)
               and q.key is not null
         ), first as (
             select distinct on (w.destination, w.key)
                    w.destination, w.key, w.commit_lsn, w.index, w.reason
             from keys join {{schema}}.parked as w
                  on (w.destination, w.key) = (keys.destination, keys.key)
             where (w.relay, w.system_id) = ($1, $2) and w.state = 'waiting'
               and (w.blocks_key or w.reason = 'key-blocked')
             order by w.destination, w.key, w.commit_lsn, w.index
         )
         select first.commit_lsn, first.index from first
         where first.reason = 'key-blocked'
           and not exists (select from {{schema}}.parked as b
                           where (b.relay, b.system_id, b.destination, b.key)
                                 = ($1, $2, first.destination, first.key)
                             and b.state = 'replaying')"
    )
}

async fn insert(
    session: &Session,
    draft: &Draft<'_>,
    request: Uuid,
    chosen: usize,
) -> Result<(), SourceFailure> {
    let sql = "insert into {schema}.request
                      (id, relay, kind, chosen, destination, edited, type, content_type, payload,
                       headers, actor, note)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb,
                       coalesce($11::text, session_user::text), $12)";
    let chosen = i64::try_from(chosen).unwrap_or(i64::MAX);
    let edit = draft.edit;
    let kind = draft.kind.as_str();
    let payload = edit.and_then(|edit| edit.payload.as_deref());
    session
        .execute(
            "writing a request",
            sql,
            &[
                &request,
                &session.relay(),
                &kind,
                &chosen,
                &draft.destination,
                &edit.is_some(),
                &edit.map(|edit| edit.message_type.as_str()),
                &edit.map(|edit| edit.content_type.as_str()),
                &payload,
                &edit.map(|edit| edit.headers.as_str()),
                &draft.actor,
                &draft.note,
            ],
        )
        .await
        .map(|_| ())
}

/// Puts the messages into the request, and says how many they were.
async fn assign(
    session: &Session,
    draft: &Draft<'_>,
    request: Uuid,
    positions: &[Position],
) -> Result<u64, SourceFailure> {
    let sql = "update {schema}.parked as p
               set state = 'replaying', request = $3, request_index = g.number - 1,
                   replays = p.replays + $6::int4,
                   actor = coalesce($7::text, session_user::text), note = $8
               from unnest($4::text[], $5::int8[]) with ordinality as g (lsn, index, number)
               where (p.relay, p.system_id, p.commit_lsn, p.index)
                     = ($1, $2, g.lsn::pg_lsn, g.index)
                 and p.state = 'waiting'";
    let (lsns, indexes) = columns(positions);
    let replays = i32::from(draft.kind == Kind::Replay);
    session
        .execute(
            "putting messages into a request",
            sql,
            &[
                &session.relay(),
                &session.system_id(),
                &request,
                &lsns,
                &indexes,
                &replays,
                &draft.actor,
                &draft.note,
            ],
        )
        .await
}
