use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use outbox_core::{Lsn, Position};
use uuid::Uuid;

use super::edit::Edit;
use super::filter::Filter;
use super::outcome::{Outcome, Progress, TakenBy};
use super::plan::{Plan, taken_by_others};
use super::request::{CHOSEN_MAX, Choice, Draft, Kind, Made, make, released_sql};
use super::session::count;
use super::waiting::await_done;
use super::{Session, StuckError};

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
    /// Chosen messages that somebody else asked for first.
    pub(crate) taken: Vec<TakenBy>,
    /// How often the rest of busy keys was asked for.
    pub(crate) rounds: u64,
    /// Keys whose messages merely wait still.
    pub(crate) unreleased_keys: u64,
    /// What became of them, as far as it was waited for.
    pub(crate) outcome: Option<Outcome>,
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
        chosen: plan.chosen,
        answer: Answer::default(),
    };
    let asked = asking.ask(plan).await;
    (asking.answer, asked)
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
        if self.wish.edit.is_some() && plan.chosen != 1 {
            return Err(StuckError::EditsSeveral(plan.chosen));
        }
        if let Some(last) = plan.last {
            self.ask_for_chosen(last).await?;
        }
        if self.wish.wait_max.is_some() {
            self.ask_for_released().await?;
        }
        let (filter, ours) = (&self.wish.filter, &self.answer.requests);
        self.answer.taken = taken_by_others(self.session, filter, ours).await?;
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
            let began = Instant::now();
            let Some(made) = make(self.session, &draft, choice, self.request_max()).await? else {
                return Ok(());
            };
            after = Some(made.last);
            self.answer.asked += made.chosen;
            self.answer.left_out += made.left_out;
            self.follow_up(&made).await?;
            if made.last >= until {
                return Ok(());
            }
            self.keep_pace(&made, began).await;
        }
    }

    /// So many messages a request: a second's worth, as far as a request takes them.
    fn request_max(&self) -> usize {
        let rate = self.wish.rate.map(|rate| usize::try_from(rate.get()));
        rate.and_then(Result::ok)
            .unwrap_or(CHOSEN_MAX)
            .min(CHOSEN_MAX)
    }

    /// Notes the request, and waits for its outcome where that is wanted.
    async fn follow_up(&mut self, made: &Made) -> Result<(), StuckError> {
        let Some(request) = made.request else {
            return Ok(());
        };
        self.answer.requests.push(request);
        let so_far = format!("{} of {} messages", self.answer.asked, self.chosen);
        self.progress.say(so_far.clone());
        let Some(wait_max) = self.wish.wait_max else {
            return Ok(());
        };
        let waited = await_done(self.session, request, wait_max, self.progress, &so_far).await;
        let not_asked = self
            .chosen
            .saturating_sub(self.answer.asked + self.answer.left_out);
        let outcome = waited.map_err(|error| match error {
            StuckError::NotDone {
                request, waited, ..
            } => StuckError::NotDone {
                request,
                waited,
                not_asked,
            },
            other => other,
        })?;
        self.answer.outcome.get_or_insert_default().add(outcome);
        Ok(())
    }

    async fn keep_pace(&self, made: &Made, began: Instant) {
        if let Some(rate) = self.wish.rate
            && made.request.is_some()
        {
            // At most 1,000 messages.
            let messages = u32::try_from(made.chosen).unwrap_or(u32::MAX);
            let due = Duration::from_secs(1) * messages / rate.get();
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        }
    }

    /// What merely waited, and was more than one request takes along. It is never skipped.
    async fn ask_for_released(&mut self) -> Result<(), StuckError> {
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
            let began = Instant::now();
            let Some(made) = make(self.session, &draft, choice, self.request_max()).await? else {
                return Ok(());
            };
            self.answer.rounds += 1;
            let before = self.answer.outcome.unwrap_or_default();
            self.follow_up(&made).await?;
            let published = self.answer.outcome.unwrap_or_default().published - before.published;
            if made.request.is_none() || published == 0 {
                break;
            }
            self.keep_pace(&made, began).await;
        }
        self.answer.unreleased_keys = self.unreleased_keys().await?;
        Ok(())
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
