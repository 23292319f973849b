use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::AcquireError;

use super::Findings;
use super::postgres::{Seen, log_end};
use crate::assembly::assemble;
use crate::config::Settings;

const RECOVER: &str = "follow docs/runbooks/the-database-is-not-the-one.md";
const ASK_AGAIN: &str = "nothing is wrong with it as far as is known: ask again once that is over";

/// What is wrong, and what mends it.
pub(super) struct Misfit {
    subject: &'static str,
    message: String,
    fix: &'static str,
}

impl Misfit {
    fn new(message: impl Into<String>, fix: &'static str) -> Self {
        Self {
            subject: "checkpoint",
            message: message.into(),
            fix,
        }
    }
}

/// Looks whether a checkpoint that was peeked at fits the database; returns one that does.
pub(super) async fn check(
    peeked: Result<Option<Checkpoint>, Misfit>,
    settings: &Settings,
    seen: &Seen,
    findings: &mut Findings,
) -> Option<Checkpoint> {
    match fitting(peeked, settings, seen).await {
        Ok(found) => {
            let where_it_stands = format!("number {} at {}", found.sequence, found.frontier);
            findings.ok("checkpoint", where_it_stands);
            Some(found)
        }
        Err(misfit) => {
            findings.error(misfit.subject, misfit.message, misfit.fix);
            None
        }
    }
}

async fn fitting(
    peeked: Result<Option<Checkpoint>, Misfit>,
    settings: &Settings,
    seen: &Seen,
) -> Result<Checkpoint, Misfit> {
    let found = compare(peeked?, settings, seen)?;
    // On a later timeline the relay goes by the timelines' history, which begins with its own connection. And
    // that the server does not answer was said already.
    let is_later = seen.timeline.is_some_and(|known| known > found.timeline);
    if seen.connected && !is_later {
        lies_in_log(&found, settings).await?;
    }
    Ok(found)
}

/// Reads the checkpoint from where it is kept, and disturbs nobody.
pub(super) fn peek(settings: &Settings) -> Result<Option<Checkpoint>, Misfit> {
    let mut sink = assemble(settings)
        .map_err(|error| Misfit::new(error.to_string(), "correct the sink's section"))?;
    sink.peek().map_err(|error| match error {
        AcquireError::Unavailable(reason) => Misfit::new(reason, ASK_AGAIN),
        error => Misfit::new(error.to_string(), RECOVER),
    })
}

/// Asked for after the checkpoint was read: a relay at work moves it along with the log.
async fn lies_in_log(found: &Checkpoint, settings: &Settings) -> Result<(), Misfit> {
    let frontier = &found.frontier;
    let end = log_end(settings)
        .await
        .map_err(|failure| Misfit::new(failure.message, ASK_AGAIN))?;
    if end.is_some_and(|end| frontier.lsn > end) {
        let message = format!(
            "it stands at {frontier}, beyond the end of the server's log: the server was set back"
        );
        return Err(Misfit::new(message, RECOVER));
    }
    Ok(())
}

fn compare(
    found: Option<Checkpoint>,
    settings: &Settings,
    seen: &Seen,
) -> Result<Checkpoint, Misfit> {
    let Some(found) = found else {
        return Err(if seen.genesis_written {
            Misfit::new("it is gone although one was written", RECOVER)
        } else {
            Misfit::new("none is written yet", "outbox-sidecar init")
        });
    };
    let (system_id, frontier) = (found.system_id, &found.frontier);
    if seen.system_id.is_some_and(|known| known != system_id) {
        return Err(Misfit::new(
            format!("it belongs to cluster {system_id}"),
            "check postgres.url and relay.name",
        ));
    }
    if let Some(older) = seen.timeline.filter(|timeline| *timeline < found.timeline) {
        let message = format!(
            "it was written on timeline {}, the server is on {older}: an old primary",
            found.timeline
        );
        return Err(Misfit::new(message, RECOVER));
    }
    if seen.confirmed_flush > Some(frontier.lsn) {
        let message = format!("it stands at {frontier}, behind the slot");
        return Err(Misfit::new(message, RECOVER));
    }
    if was_altered(seen, &found.publication_fingerprint) {
        let slot = settings.slot();
        return Err(Misfit {
            subject: "publication",
            message: format!("{slot} was altered since the checkpoint was written"),
            fix: "put it back as init made it; then see init --accept-publication in \
                  docs/command-line.md: what it left out meanwhile was not sent",
        });
    }
    Ok(found)
}

/// Whether the publication is another than the checkpoint's, and nobody has accepted that.
fn was_altered(seen: &Seen, checkpoint: &str) -> bool {
    let accepted = seen.publication_accepted.as_deref();
    seen.publication_fingerprint
        .as_deref()
        .is_some_and(|found| found != checkpoint && Some(found) != accepted)
}
