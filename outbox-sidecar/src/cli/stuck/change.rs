use std::io::Read as _;
use std::path::Path;

use outbox_core::Message;

use super::arguments::{ChangeArguments, ReplayArguments, SkipArguments};
use super::change_report::{Change, answer_json, answer_text, plan_json, plan_text};
use super::open;
use super::show::PAYLOAD_BYTES_MAX;
use crate::cli::actor::actor;
use crate::cli::confirm::confirm_asking;
use crate::cli::described::Described;
use crate::cli::progress_line::shown_until_signalled;
use crate::cli::words::counted;
use crate::cli::{CliError, print};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::operator::{Progress, Session};
use crate::stuck::{
    Answer, Edit, EditError, Kind, Plan, ShownRow, StuckError, Wish, ask, plan, show,
};

/// A file to edit by: a payload in Base64 and as much again.
const EDIT_FILE_BYTES_MAX: u64 = 2 * PAYLOAD_BYTES_MAX as u64;

/// Asks the relay to publish what is chosen.
pub(super) async fn replay(command: &ReplayArguments, settings: &Settings) -> Result<u8, CliError> {
    let limit = settings.sink.message_bytes_max();
    if let Some(destination) = &command.to {
        // Any type does: the destination is looked at.
        let valid = Message::new(destination, "type").validate(limit);
        valid.map_err(StuckError::Destination)?;
    }
    let wish = wish(Kind::Replay, &command.change, command.to.clone())?;
    let edit = command.edit.as_deref();
    execute(
        &command.change,
        settings,
        wish,
        edit.map(|file| (file, limit)),
    )
    .await
}

/// Asks the relay to give up what is chosen.
pub(super) async fn skip(command: &SkipArguments, settings: &Settings) -> Result<u8, CliError> {
    let wish = wish(Kind::Skip, &command.change, None)?;
    execute(&command.change, settings, wish, None).await
}

fn wish(
    kind: Kind,
    command: &ChangeArguments,
    destination: Option<String>,
) -> Result<Wish, CliError> {
    let filter = command.filter.filter()?;
    match (filter.is_empty(), command.all) {
        (true, false) => {
            return Err(CliError::Choice(
                "say which messages: --id, --key, --destination, --type, --reason, --since, \
                 --until, or --all",
            ));
        }
        (false, true) => {
            return Err(CliError::Choice(
                "--all and a condition are both given: leave one away",
            ));
        }
        _ => {}
    }
    Ok(Wish {
        kind,
        filter,
        destination,
        edit: None,
        actor: actor(command.asking.actor.as_deref()),
        note: command.asking.note.clone(),
        rate: command.asking.rate,
        wait_max: command.asking.wait_max(),
    })
}

async fn execute(
    command: &ChangeArguments,
    settings: &Settings,
    mut wish: Wish,
    edit: Option<(&Path, usize)>,
) -> Result<u8, CliError> {
    let session = open(settings).await?;
    let plan = plan(&session, &wish.filter).await?;
    let destination = wish.destination.clone();
    let described = Described::by(&session, destination.as_deref(), command.asking.dry_run);
    let change = Change {
        kind: wish.kind,
        of: described.await.map_err(StuckError::from)?,
    };
    if let Some((file, limit)) = edit.filter(|_| plan.chosen.messages > 0) {
        wish.edit = Some(read_edit(&session, file, limit, &plan, &wish).await?);
    }
    if command.asking.dry_run || plan.chosen.messages == 0 {
        return only_said(command, &change, &plan);
    }
    let messages = match plan.refused {
        0 => plan.chosen.messages,
        // It is refused without a question.
        _ => 0,
    };
    confirm_asking(&change.of, &command.asking, messages, || {
        question(&change, &plan)
    })?;
    let progress = Progress::default();
    let asked = ask(&session, &wish, &plan, &progress);
    let (answer, ended) = shown_until_signalled(&progress, asked).await?;
    if !answer.requests.is_empty() || ended.is_ok() {
        if command.asking.json {
            print(&format!("{:#}", answer_json(&change, &plan, &answer)));
        } else {
            print(&answer_text(&change, &plan, &answer));
        }
    }
    ended?;
    Ok(code_of(&answer).number())
}

/// A dry run, or nothing to do.
fn only_said(command: &ChangeArguments, change: &Change<'_>, plan: &Plan) -> Result<u8, CliError> {
    if command.asking.json {
        print(&format!("{:#}", plan_json(change, plan)));
    } else {
        print(&plan_text(change, plan));
    }
    let code = match (plan.chosen.messages, plan.refused) {
        // Everything is nothing: so it is to be.
        (0, _) if command.all => ExitCode::Done,
        (0, _) => return Err(nothing_fits(plan).into()),
        (_, 0) => ExitCode::Done,
        _ => ExitCode::Usage,
    };
    Ok(code.number())
}

const fn nothing_fits(plan: &Plan) -> StuckError {
    StuckError::NothingFits {
        waiting: plan.waiting,
    }
}

const fn code_of(answer: &Answer) -> ExitCode {
    let returned = match answer.outcome {
        Some(outcome) => outcome.returned,
        None => 0,
    };
    let unreleased_keys = match &answer.rest {
        Some(rest) => rest.unreleased_keys,
        None => 0,
    };
    if returned > 0 || answer.left_out > 0 || unreleased_keys > 0 {
        ExitCode::Findings
    } else if answer.asked == 0 {
        // Somebody else was faster.
        ExitCode::Failed
    } else {
        ExitCode::Done
    }
}

fn question(change: &Change<'_>, plan: &Plan) -> String {
    let given_up = match change.gives_up_waiting(plan) {
        Some(which) => format!(" ({which})"),
        None => String::new(),
    };
    format!(
        "this asks relay {} to {} {} of {}{given_up}",
        change.of.relay,
        change.kind.as_str(),
        counted(plan.chosen.messages, "message"),
        counted(plan.chosen.keys, "key"),
    )
}

async fn read_edit(
    session: &Session,
    file: &Path,
    limit: usize,
    plan: &Plan,
    wish: &Wish,
) -> Result<Edit, CliError> {
    let (Some(id), Some(position), 1) = (plan.last_id, plan.last, plan.chosen.messages) else {
        return Err(StuckError::EditsSeveral(plan.chosen.messages).into());
    };
    let rows = show(session, id, PAYLOAD_BYTES_MAX).await?;
    let is_it = |shown: &&ShownRow| shown.row.position == position && !shown.row.is_foreign;
    let original = rows.iter().find(is_it);
    let original = original.ok_or_else(|| nothing_fits(plan))?;
    let text = read_file(file).map_err(StuckError::Edit)?;
    let edit = Edit::read(&text, original, wish.destination.as_deref(), limit);
    Ok(edit.map_err(StuckError::Edit)?)
}

fn read_file(file: &Path) -> Result<String, EditError> {
    let mut text = String::new();
    let opened = std::fs::File::open(file)?;
    let read = opened
        .take(EDIT_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if read as u64 > EDIT_FILE_BYTES_MAX {
        return Err(EditError::FileTooLarge(EDIT_FILE_BYTES_MAX));
    }
    Ok(text)
}
