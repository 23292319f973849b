use std::time::{Duration, Instant};

use uuid::Uuid;

use super::columns::{column, count};
use super::{Outcome, Progress, RequestError, Session};

/// How often a request is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Waits until a request is carried out.
///
/// # Errors
/// [`RequestError::NotDone`] when that takes too long; the request stays. [`RequestError::Interrupted`].
pub(crate) async fn await_done(
    session: &Session,
    request: Uuid,
    wait_max: Duration,
    progress: &Progress,
    so_far: &str,
) -> Result<Outcome, RequestError> {
    const DOING: &str = "looking at a request";
    let sql = "select r.state, r.published, r.skipped, r.returned,
                      exists (select from pg_catalog.pg_replication_slots as s
                              where s.slot_name = $2 and s.active) as is_relay_there
               from {schema}.request as r where r.id = $1";
    let began = Instant::now();
    loop {
        let row = session
            .row(DOING, sql, &[&request, &session.slot()])
            .await?;
        let state: String = column(&row, "state", DOING)?;
        if state == "done" {
            return Ok(Outcome {
                published: count(&row, "published", DOING)?,
                skipped: count(&row, "skipped", DOING)?,
                returned: count(&row, "returned", DOING)?,
            });
        }
        let waited = began.elapsed();
        if waited >= wait_max {
            return Err(RequestError::NotDone {
                request,
                waited: wait_max,
            });
        }
        let waits_for = if column(&row, "is_relay_there", DOING)? {
            "the relay"
        } else {
            "a relay: none runs"
        };
        let waited_s = waited.as_secs();
        progress.say(format!(
            "{so_far}: {state}, waiting for {waits_for}, {waited_s} s"
        ));
        progress.pause(POLL.min(wait_max - waited)).await?;
    }
}
