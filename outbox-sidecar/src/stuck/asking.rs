use std::num::NonZeroU32;
use std::time::Duration;

use outbox_core::{Lsn, Position};
use uuid::Uuid;

use super::StuckError;
use super::edit::Edit;
use super::filter::Filter;
use super::plan::{Plan, TakenBy, taken_by_others};
use super::request::{CHOSEN_MAX, Choice, Draft, Kind, Made, make, released_sql};
use crate::operator::{LeftOut, Outcome, Pace, Progress, Session, await_done, count};

/// How often the rest of a key is asked for that is busier than one request takes along.
const ROUNDS_MAX: u64 = 100;

/// What an operator wants.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) kind: Kind,
    pub(crate) filter: Filter,
    /// Where the messages go instead of their own destination.
    pub(crate) destination: Option<String>,
    /// What takes the place of the one message's own.
    pub(crate) edit: Option<Edit>,
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
    /// Messages that these requests name, the rest of busy keys aside.
    pub(crate) asked: u64,
    /// Chosen messages behind one of their key that waits again.
    pub(crate) left_out: u64,
    /// How often the rest of busy keys was asked for.
    pub(crate) rounds: u64,
    /// What is known once everything was asked for.
    pub(crate) rest: Option<Rest>,
    /// What became of them, as far as it was waited for.
    pub(crate) outcome: Option<Outcome>,
    /// The first of those that were returned, what merely waits behind others aside.
    pub(crate) returned: Vec<LeftOut>,
}

/// What was not asked for, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Chosen messages that somebody else asked for first.
    pub(crate) taken: Vec<TakenBy>,
    /// Keys whose messages merely wait still.
    pub(crate) unreleased_keys: u64,
}

/// Asks the relay to replay or to skip what waits and fits, as far as `plan` has seen it. The answer
/// says how far that came, also with an error.
///
/// # Errors
/// [`StuckError::OutOfOrder`] before anything is asked.
pub(crate) async fn ask(
    session: &Session,
    wish: &Wish,
    plan: &Plan,
    progress: &Progress,
) -> (Answer, Result<(), StuckError>) {
    let mut asking = Asking {
        session,
        wish,
        progress,
        chosen: plan.chosen.messages,
        answer: Answer::default(),
    };
    let asked = asking.ask(plan).await;
    let ended = asked.map_err(|error| asking.ended(error));
    (asking.answer, ended)
}

struct Asking<'a> {
    session: &'a Session,
    wish: &'a Wish,
    progress: &'a Progress,
    chosen: u64,
    answer: Answer,
}

impl Asking<'_> {
    async fn ask(&mut self, plan: &Plan) -> Result<(), StuckError> {
        if plan.refused > 0 {
            return Err(StuckError::OutOfOrder {
                messages: plan.refused,
                key_count: plan.refused_key_count,
                keys: plan.refused_keys.clone(),
            });
        }
        if self.wish.edit.is_some() && plan.chosen.messages != 1 {
            return Err(StuckError::EditsSeveral(plan.chosen.messages));
        }
        if let Some(last) = plan.last {
            self.ask_for_chosen(last).await?;
        }
        let unreleased_keys = if self.wish.wait_max.is_some() {
            self.ask_for_released().await?
        } else {
            0
        };
        let (filter, ours) = (&self.wish.filter, &self.answer.requests);
        self.answer.rest = Some(Rest {
            taken: taken_by_others(self.session, filter, ours).await?,
            unreleased_keys,
        });
        Ok(())
    }

    /// One request after the other, in the order of the log.
    async fn ask_for_chosen(&mut self, until: Position) -> Result<(), StuckError> {
        let wish = self.wish;
        let draft = Draft {
            kind: wish.kind,
            destination: wish.destination.as_deref(),
            edit: wish.edit.as_ref(),
            actor: wish.actor.as_deref(),
            note: wish.note.as_deref(),
        };
        // What is edited is the message that was looked at, and no other that fits by now.
        let mut after = wish.edit.as_ref().map(|_| just_before(until));
        loop {
            let choice = Choice::Fitting {
                filter: &wish.filter,
                after,
                until,
            };
            let pace = Pace::begin(wish.rate);
            let messages_max = pace.messages(CHOSEN_MAX);
            let Some(made) =
                make(self.session, self.progress, &draft, choice, messages_max).await?
            else {
                return Ok(());
            };
            after = Some(made.last);
            self.answer.asked += made.chosen;
            self.answer.left_out += made.left_out;
            let outcome = self.follow_up(&made).await?;
            if made.last >= until {
                return Ok(());
            }
            let messages = made.chosen.max(outcome.published);
            pace.keep(messages, self.progress, &self.so_far()).await?;
        }
    }

    /// Notes the request, and waits for its outcome where that is wanted; what that is, as far as it
    /// is known.
    async fn follow_up(&mut self, made: &Made) -> Result<Outcome, StuckError> {
        let Some(request) = made.request else {
            return Ok(Outcome::default());
        };
        self.answer.requests.push(request);
        let so_far = self.so_far();
        self.progress.say(so_far.clone());
        let Some(wait_max) = self.wish.wait_max else {
            return Ok(Outcome::default());
        };
        let waited = await_done(self.session, request, wait_max, self.progress, &so_far);
        let outcome = waited.await?;
        self.answer.outcome.get_or_insert_default().add(outcome);
        if outcome.returned > 0 {
            let left = LeftOut::NAMED_MAX.saturating_sub(self.answer.returned.len());
            let rows = "(select p.id, p.reason, p.error,
                                case when p.request_index < r.chosen and r.destination is not null
                                     then r.destination else p.destination end as destination
                         from {schema}.parked as p join {schema}.request as r on r.id = p.request
                         where p.request = $1 and p.state = 'waiting' and p.reason <> 'key-blocked'
                         order by p.commit_lsn, p.index) as p";
            let named = LeftOut::read(self.session, request, left, rows).await?;
            self.answer.returned.extend(named);
        }
        Ok(outcome)
    }

    fn so_far(&self) -> String {
        format!("{} of {} messages", self.answer.asked, self.chosen)
    }

    /// What merely waited, and was more than one request takes along. It is never skipped. Says of
    /// how many keys there is still some.
    async fn ask_for_released(&mut self) -> Result<u64, StuckError> {
        let wish = self.wish;
        let draft = Draft {
            kind: Kind::Replay,
            destination: None,
            edit: None,
            actor: wish.actor.as_deref(),
            note: wish.note.as_deref(),
        };
        while !self.answer.requests.is_empty() && self.answer.rounds < ROUNDS_MAX {
            let ours = self.answer.requests.clone();
            let choice = Choice::Released(&ours);
            let pace = Pace::begin(wish.rate);
            let messages_max = pace.messages(CHOSEN_MAX);
            let Some(made) =
                make(self.session, self.progress, &draft, choice, messages_max).await?
            else {
                return Ok(0);
            };
            self.answer.rounds += 1;
            let outcome = self.follow_up(&made).await?;
            if outcome.published == 0 {
                break;
            }
            pace.keep(outcome.published, self.progress, &self.so_far())
                .await?;
        }
        self.unreleased_keys().await
    }

    /// Says how far it came.
    fn ended(&self, error: StuckError) -> StuckError {
        let asked = self.answer.asked + self.answer.left_out;
        match self.chosen.saturating_sub(asked) {
            0 => error,
            _ if asked == 0 => error,
            messages => StuckError::NotAsked {
                messages,
                source: Box::new(error),
            },
        }
    }

    async fn unreleased_keys(&self) -> Result<u64, StuckError> {
        const DOING: &str = "counting keys that wait";
        let mut values = self.session.values();
        let requests = values.add(self.answer.requests.clone());
        let sql = format!(
            "select count(*) as keys from ({}) as first",
            released_sql(&requests)
        );
        let row = self
            .session
            .row(DOING, &sql, &values.as_parameters())
            .await?;
        Ok(count(&row, "keys", DOING)?)
    }
}

/// A position between this one and the message before it.
fn just_before(position: Position) -> Position {
    match position.index.checked_sub(1) {
        Some(index) => Position { index, ..position },
        None => Position {
            commit_lsn: Lsn::new(position.commit_lsn.as_u64().saturating_sub(1)),
            index: u32::MAX,
        },
    }
}
