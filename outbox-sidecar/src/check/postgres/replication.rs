use std::time::Duration;

use crate::check::Findings;
use crate::config::Settings;
use crate::source::connection::Startup;
use crate::source::replication::Replication;

use super::Seen;

/// The time-out of the replication connection that is tried.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(60);

/// Tries the connection that the relay will need: another line of pg_hba.conf may decide on it,
/// and walsenders may run out.
pub(super) async fn connection(settings: &Settings, findings: &mut Findings, seen: &mut Seen) {
    let startup = Startup {
        application_name: "outbox-sidecar check".to_owned(),
        wal_sender_timeout: TRIAL_TIMEOUT,
    };
    let subject = "replication connection";
    let identified = async {
        let mut connection = Replication::connect(&settings.address, &startup).await?;
        let system = connection.identify_system().await?;
        let is_direct = connection.serves_directly().await?;
        Ok::<_, crate::source::SourceError>((system, is_direct))
    };
    match identified.await {
        Ok((system, is_direct)) => {
            seen.system_id = Some(system.system_id);
            seen.timeline = Some(system.timeline);
            findings.ok(
                subject,
                format!("cluster {}, timeline {}", system.system_id, system.timeline),
            );
            if !is_direct {
                findings.error(
                    subject,
                    "a pooler stands in between: another process serves us than the one that was \
                     announced, and the relay would look for its walsender in vain",
                    "name the server itself in postgres.url",
                );
            }
        }
        Err(error) => findings.error(
            subject,
            error.to_string(),
            "the role needs REPLICATION, a line for its database in pg_hba.conf (logical \
             replication does not match the line \"replication\"), and a free walsender; a pooler \
             cannot stand in between",
        ),
    }
}
