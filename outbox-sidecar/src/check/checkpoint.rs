use outbox_core::sink::AcquireError;

use super::Findings;
use super::postgres::Seen;
use crate::assembly::assemble;
use crate::config::Settings;

/// Looks whether the checkpoint fits the database.
pub(super) fn check(settings: &Settings, seen: &Seen, findings: &mut Findings) {
    let recover = "follow docs/runbooks/the-database-is-not-the-one.md";
    let peeked = assemble(settings).map(|mut sink| sink.peek());
    let found = match peeked {
        Ok(Ok(found)) => found,
        Ok(Err(AcquireError::Unavailable(reason))) => {
            let hint = "nothing is wrong with it as far as is known: ask again once that is over";
            return findings.error("checkpoint", reason, hint);
        }
        Ok(Err(error)) => return findings.error("checkpoint", error.to_string(), recover),
        Err(error) => {
            return findings.error(
                "checkpoint",
                error.to_string(),
                "correct the sink's section",
            );
        }
    };
    match found {
        None if seen.genesis_written => {
            findings.error("checkpoint", "it is gone although one was written", recover);
        }
        None => findings.error("checkpoint", "none is written yet", "outbox-sidecar init"),
        Some(found)
            if seen
                .system_id
                .is_some_and(|system_id| system_id != found.system_id) =>
        {
            findings.error(
                "checkpoint",
                format!("it belongs to cluster {}", found.system_id),
                "check postgres.url and relay.name",
            );
        }
        Some(found) if seen.confirmed_flush > Some(found.frontier.lsn) => findings.error(
            "checkpoint",
            format!("it stands at {}, behind the slot", found.frontier),
            recover,
        ),
        Some(found) if seen.wal_end.is_some_and(|end| found.frontier.lsn > end) => findings.error(
            "checkpoint",
            format!(
                "it stands at {}, beyond the end of the server's log: the server was set back",
                found.frontier
            ),
            recover,
        ),
        Some(found) if was_altered(seen, &found.publication_fingerprint) => {
            findings.error(
                "publication",
                format!(
                    "{} was altered since the checkpoint was written",
                    settings.slot()
                ),
                "put it back as init made it; then see init --accept-publication in \
                 docs/command-line.md: what it left out meanwhile was not sent",
            );
        }
        Some(found) => findings.ok(
            "checkpoint",
            format!("number {} at {}", found.sequence, found.frontier),
        ),
    }
}

/// Whether the publication is another than the checkpoint's, and nobody has accepted that.
fn was_altered(seen: &Seen, checkpoint: &str) -> bool {
    let accepted = seen.publication_accepted.as_deref();
    seen.publication_fingerprint
        .as_deref()
        .is_some_and(|found| found != checkpoint && Some(found) != accepted)
}
