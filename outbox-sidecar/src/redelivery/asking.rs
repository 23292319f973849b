use std::num::NonZeroU32;
use std::time::Duration;

use uuid::Uuid;

use super::{Chosen, RedeliveryError};
use crate::operator::{
    LeftOut, Outcome, Pace, Progress, RequestError, Session, await_done, column,
};

/// The most messages of a request, and of their bytes, if it has more than one.
const MESSAGES_MAX: u32 = 1000;
/// See [`MESSAGES_MAX`].
const BYTES_MAX: i64 = 64 * 1024 * 1024;

/// What an operator wants.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Where the messages go instead of where they were published.
    pub(crate) destination: Option<String>,
    /// Who wants it; the role's name if nobody is named.
    pub(crate) actor: Option<String>,
    pub(crate) note: Option<String>,
    /// Messages a second.
    pub(crate) rate: Option<NonZeroU32>,
    /// How long each request may take until it is carried out; without, nothing is waited for.
    pub(crate) wait_max: Option<Duration>,
}

/// What was asked, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) requests: Vec<Uuid>,
    /// Messages that these requests name.
    pub(crate) asked: u64,
    /// What became of them, as far as it was waited for.
    pub(crate) outcome: Option<Outcome>,
    /// The first of those that were left out.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Asks the relay to publish what was put by once more, request by request. The answer says how far
/// that came, also with an error.
pub(crate) async fn ask(
    session: &Session,
    wish: &Wish,
    chosen: &Chosen,
    progress: &Progress,
) -> (Answer, Result<(), RedeliveryError>) {
    let mut asking = Asking {
        session,
        wish,
        chosen,
        progress,
        asked: 0,
        answer: Answer::default(),
    };
    let asked = asking.ask().await;
    let ended = asked.map_err(|error| asking.ended(error));
    (asking.answer, ended)
}

struct Asking<'a> {
    session: &'a Session,
    wish: &'a Wish,
    chosen: &'a Chosen,
    progress: &'a Progress,
    /// Everything up to this place.
    asked: i64,
    answer: Answer,
}

impl Asking<'_> {
    async fn ask(&mut self) -> Result<(), RedeliveryError> {
        while self.asked < self.chosen.messages {
            let pace = Pace::begin(self.wish.rate);
            let through = self.through(pace.messages(MESSAGES_MAX)).await?;
            let request = self.make(through).await?;
            let messages = u64::try_from(through - self.asked).unwrap_or_default();
            self.asked = through;
            self.answer.asked += messages;
            self.answer.requests.push(request);
            self.follow_up(request).await?;
            if self.asked < self.chosen.messages {
                pace.keep(messages, self.progress, &self.so_far()).await?;
            }
        }
        Ok(())
    }

    /// The place of the next request's last message.
    async fn through(&self, messages_max: u32) -> Result<i64, RedeliveryError> {
        const DOING: &str = "cutting a request";
        let messages_max = i64::from(messages_max);
        let sql = "select max(place) as place from (
                       select place, sum(coalesce(octet_length(payload), 0)) over (order by place)
                                         as bytes
                       from pg_temp.outbox_chosen
                       where place > $1::int8 and place <= $1::int8 + $2::int8
                   ) as next where bytes <= $3::int8 or place = $1::int8 + 1";
        let row = self
            .session
            .row(DOING, sql, &[&self.asked, &messages_max, &BYTES_MAX])
            .await?;
        let place: Option<i64> = column(&row, "place", DOING)?;
        Ok(place.unwrap_or(self.chosen.messages))
    }

    /// Writes the next request, with its messages, or nothing.
    async fn make(&self, through: i64) -> Result<Uuid, RequestError> {
        let request = Uuid::now_v7();
        let writing = self.session.write_request(self.progress, async || {
            self.write(request, through).await?;
            Ok((Some(request), ()))
        });
        writing.await?;
        Ok(request)
    }

    async fn write(&self, request: Uuid, through: i64) -> Result<(), RequestError> {
        let session = self.session;
        let chosen = through - self.asked;
        let sql = "insert into {schema}.request (id, relay, kind, chosen, destination, actor, note)
                   values ($1, $2, 'redeliver', $3, $4, coalesce($5::text, session_user::text), $6)";
        let wish = self.wish;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] = [
            &request,
            &session.relay(),
            &chosen,
            &wish.destination,
            &wish.actor,
            &wish.note,
        ];
        session.execute("writing a request", sql, &values).await?;
        let sql = "insert into {schema}.redelivery
                          (request, number, id, destination, key, type, content_type, payload,
                           headers, created_at)
                   select $1, place - $2::int8 - 1, id, destination, key, type, content_type, payload,
                          headers, created_at
                   from pg_temp.outbox_chosen
                   where place > $2::int8 and place <= $3::int8 order by place";
        let found = session
            .execute(
                "putting messages into a request",
                sql,
                &[&request, &self.asked, &through],
            )
            .await?;
        let chosen = u64::try_from(chosen).unwrap_or_default();
        if found != chosen {
            return Err(RequestError::Miscounted {
                request,
                chosen,
                found,
            });
        }
        Ok(())
    }

    /// Waits for its outcome where that is wanted.
    async fn follow_up(&mut self, request: Uuid) -> Result<(), RedeliveryError> {
        let so_far = self.so_far();
        self.progress.say(so_far.clone());
        let Some(wait_max) = self.wish.wait_max else {
            return Ok(());
        };
        let waited = await_done(self.session, request, wait_max, self.progress, &so_far);
        let outcome = waited.await?;
        self.answer.outcome.get_or_insert_default().add(outcome);
        if outcome.returned > 0 {
            self.name_left_out(request).await?;
        }
        Ok(())
    }

    fn so_far(&self) -> String {
        format!("{} of {} messages", self.asked, self.chosen.messages)
    }

    async fn name_left_out(&mut self, request: Uuid) -> Result<(), RedeliveryError> {
        let left = LeftOut::NAMED_MAX.saturating_sub(self.answer.left_out.len());
        let rows = "{schema}.redelivery where request = $1 and reason is not null order by number";
        let named = LeftOut::read(self.session, request, left, rows).await?;
        self.answer.left_out.extend(named);
        Ok(())
    }

    /// Says how far it came, and how to go on.
    fn ended(&self, error: RedeliveryError) -> RedeliveryError {
        match self.chosen.earliest_after(self.asked) {
            Some(from) if self.asked > 0 => RedeliveryError::Ended {
                asked: self.answer.asked,
                chosen: u64::try_from(self.chosen.messages).unwrap_or_default(),
                from,
                source: Box::new(error),
            },
            _ => error,
        }
    }
}
