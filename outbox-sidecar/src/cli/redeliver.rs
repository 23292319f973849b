//! `redeliver`: publish once more what was published in a range of time.

mod arguments;
mod report;
#[cfg(test)]
mod tests;

pub(super) use arguments::RedeliverArguments;

use outbox_core::Message;

use self::report::{answer_json, answer_text, plan_json, plan_text};
use super::actor::actor;
use super::confirm::confirm_asking;
use super::described::Described;
use super::progress_line::{shown, shown_until_signalled};
use super::words::counted;
use super::{CliError, print};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::operator::{Progress, Session};
use crate::redelivery::{
    Answer, Chosen, Order, Plan, RedeliveryError, Selection, Wish, ask, choose, preview,
};

/// What PostgreSQL calls the command's connection.
const APPLICATION: &str = "outbox-sidecar redeliver";

/// Asks the relay to publish what is chosen once more.
pub(super) async fn execute(
    command: &RedeliverArguments,
    settings: &Settings,
) -> Result<u8, CliError> {
    let selection = command.selection(settings.row_filter.clone());
    if selection.to <= selection.from {
        return Err(CliError::Window {
            since: "from",
            until: "to",
        });
    }
    if let Some(destination) = &command.destination {
        // Any type does: the destination is looked at.
        let valid = Message::new(destination, "type").validate(settings.sink.message_bytes_max());
        valid.map_err(RedeliveryError::Destination)?;
    }
    let session = Session::open(settings, APPLICATION)
        .await
        .map_err(RedeliveryError::from)?;
    let progress = Progress::default();
    progress.say("choosing messages");
    let looking = look(&session, &selection, command.asking.dry_run);
    let (chosen, plan) = shown(|| progress.line(), looking).await?;
    let destination = command.destination.as_deref();
    let described = Described::by(&session, destination, command.asking.dry_run);
    let described = described.await.map_err(RedeliveryError::from)?;
    let mixes = mixes(command, &plan);
    let Some(chosen) = chosen.filter(|_| plan.chosen.messages > 0 && mixes.is_none()) else {
        return only_said(command, &described, &plan, mixes);
    };
    confirm_asking(&described, &command.asking, plan.chosen.messages, || {
        question(&described, &plan)
    })?;
    let wish = Wish {
        destination: command.destination.clone(),
        actor: actor(command.asking.actor.as_deref()),
        note: command.asking.note.clone(),
        rate: command.asking.rate,
        wait_max: command.asking.wait_max(),
    };
    let asked = ask(&session, &wish, &chosen, &progress);
    let (answer, ended) = shown_until_signalled(&progress, asked).await?;
    if !answer.requests.is_empty() {
        if command.asking.json {
            print(&format!("{:#}", answer_json(&described, &plan, &answer)));
        } else {
            print(&answer_text(&described, &answer));
        }
    }
    ended?;
    Ok(code_of(&answer).number())
}

/// What is chosen, and put by unless it is only looked at.
async fn look(
    session: &Session,
    selection: &Selection,
    is_dry_run: bool,
) -> Result<(Option<Chosen>, Plan), RedeliveryError> {
    let order = Order::of(session).await?;
    if is_dry_run {
        return Ok((None, preview(session, selection, order).await?));
    }
    let chosen = choose(session, selection, order).await?;
    Ok((Some(chosen), Plan::of_chosen(session, order).await?))
}

/// Whether messages of several destinations would go to one without anybody having said so.
fn mixes(command: &RedeliverArguments, plan: &Plan) -> Option<RedeliveryError> {
    let destination = command.destination.clone()?;
    let is_said = !command.of_destination.is_empty();
    (plan.chosen.destination_count > 1 && !is_said).then_some(RedeliveryError::Mixes {
        count: plan.chosen.destination_count,
        destination,
    })
}

/// A dry run, or nothing to do.
fn only_said(
    command: &RedeliverArguments,
    described: &Described<'_>,
    plan: &Plan,
    mixes: Option<RedeliveryError>,
) -> Result<u8, CliError> {
    if command.asking.json {
        print(&format!("{:#}", plan_json(described, plan)));
    } else {
        print(&plan_text(described, plan));
    }
    match mixes {
        Some(mixes) => Err(mixes.into()),
        None if plan.chosen.messages == 0 => Err(RedeliveryError::NothingFits.into()),
        None => Ok(ExitCode::Done.number()),
    }
}

const fn code_of(answer: &Answer) -> ExitCode {
    match answer.outcome {
        Some(outcome) if outcome.returned > 0 => ExitCode::Findings,
        _ => ExitCode::Done,
    }
}

fn question(described: &Described<'_>, plan: &Plan) -> String {
    let whereto = match described.destination {
        Some(destination) => format!(" to {}", super::words::plain(destination)),
        None => String::new(),
    };
    format!(
        "this asks relay {} to redeliver {} of {}{whereto}",
        described.relay,
        counted(plan.chosen.messages, "message"),
        counted(plan.chosen.keys, "key"),
    )
}
