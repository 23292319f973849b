use std::io::Read as _;
use std::path::Path;

use outbox_core::Message;

use super::arguments::{ChangeArguments, ReplayArguments, SkipArguments};
use super::change_report::{Described, answer_json, answer_text, plan_json, plan_text};
use super::show::PAYLOAD_BYTES_MAX;
use crate::cli::actor::actor;
use crate::cli::confirm::confirm;
use crate::cli::progress_line::shown;
use crate::cli::words::counted;
use crate::cli::{CliError, eprint, print};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::stuck::{
    Answer, Edit, EditError, Kind, Plan, Presence, Progress, Session, ShownRow, StuckError, Wish,
    ask, plan, show,
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
    let filter = command.filter.filter();
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
    let session = Session::open(settings).await?;
    let plan = plan(&session, &wish.filter).await?;
    let presence = session.presence().await?;
    let described = Described {
        kind: wish.kind,
        relay: session.relay(),
        slot: session.slot(),
        destination: wish.destination.as_deref(),
        presence,
        is_dry_run: command.asking.dry_run,
    };
    if let Some((file, limit)) = edit.filter(|_| plan.chosen > 0) {
        wish.edit = Some(read_edit(&session, file, limit, &plan, &wish).await?);
    }
    if command.asking.dry_run || plan.chosen == 0 {
        return only_said(command, &described, &plan);
    }
    if plan.chosen > 1 && plan.refused == 0 && !command.asking.yes {
        confirm(&question(&described, &plan))?;
    }
    if wish.wait_max.is_some() && presence != Presence::Running {
        eprint(&described.presence_text());
    }
    let progress = Progress::default();
    let asked = ask(&session, &wish, &plan, &progress);
    let (answer, ended) = shown(|| progress.line(), asked).await;
    if !answer.requests.is_empty() || ended.is_ok() {
        if command.asking.json {
            print(&format!("{:#}", answer_json(&described, &plan, &answer)));
        } else {
            print(&answer_text(&described, &plan, &answer));
        }
    }
    ended?;
    Ok(code_of(&answer).number())
}

/// A dry run, or nothing to do.
fn only_said(
    command: &ChangeArguments,
    described: &Described<'_>,
    plan: &Plan,
) -> Result<u8, CliError> {
    if command.asking.json {
        print(&format!("{:#}", plan_json(described, plan)));
    } else {
        print(&plan_text(described, plan));
    }
    let code = match plan {
        // Everything is nothing: so it is to be.
        Plan { chosen: 0, .. } if command.all => ExitCode::Done,
        Plan { chosen: 0, .. } => return Err(CliError::Stuck(StuckError::NothingFits)),
        Plan { refused: 0, .. } => ExitCode::Done,
        _ => ExitCode::Usage,
    };
    Ok(code.number())
}

const fn code_of(answer: &Answer) -> ExitCode {
    let returned = match answer.outcome {
        Some(outcome) => outcome.returned,
        None => 0,
    };
    if returned > 0 || answer.left_out > 0 || answer.unreleased_keys > 0 {
        ExitCode::Findings
    } else if answer.asked == 0 {
        // Somebody else was faster.
        ExitCode::Failed
    } else {
        ExitCode::Done
    }
}

fn question(described: &Described<'_>, plan: &Plan) -> String {
    format!(
        "this asks relay {} to {} {} of {}",
        described.relay,
        described.kind.as_str(),
        counted(plan.chosen, "message"),
        counted(plan.keys, "key"),
    )
}

async fn read_edit(
    session: &Session,
    file: &Path,
    limit: usize,
    plan: &Plan,
    wish: &Wish,
) -> Result<Edit, CliError> {
    let (Some(id), Some(position), 1) = (plan.last_id, plan.last, plan.chosen) else {
        return Err(StuckError::EditsSeveral(plan.chosen).into());
    };
    let rows = show(session, id, PAYLOAD_BYTES_MAX).await?;
    let is_it = |shown: &&ShownRow| shown.row.position == position && !shown.row.is_foreign;
    let original = rows.iter().find(is_it).ok_or(StuckError::NothingFits)?;
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
