//! Whether another relay of this name may be at work.

use outbox_core::checkpoint::Checkpoint;

use super::Seen;
use crate::config::Settings;
use crate::control::connect;
use crate::source::slot::read_slot;

/// Why another relay may be at work; asked at the last moment, because time has passed since.
///
/// On the database that the relay publishes from it would read the slot. Anywhere else, on a standby, an old
/// primary or a copy, the slot stays behind as soon as the relay has moved its checkpoint. A copy that lacks
/// nothing which the relay has done cannot be told from the original.
pub(in crate::check) async fn doubt(
    settings: &Settings,
    seen: &Seen,
    checkpoint: &Checkpoint,
) -> Option<String> {
    let known = seen.system_id.zip(seen.timeline);
    if known != Some((checkpoint.system_id, checkpoint.timeline)) {
        return Some("the checkpoint may have been written from another server".to_owned());
    }
    let slot = async {
        let client = connect(&settings.address, "outbox-sidecar check", || {})
            .await
            .ok()?;
        let in_recovery = "select pg_catalog.pg_is_in_recovery()";
        let row = client.query_one(in_recovery, &[]).await.ok()?;
        let is_primary = !row.try_get::<_, bool>(0).ok()?;
        let slot = read_slot(&client, &settings.slot()).await.ok()??;
        is_primary.then_some(slot)
    };
    let Some(slot) = slot.await.filter(|slot| slot.state.fault.is_none()) else {
        return Some("there is no slot to tell whether a relay is at work".to_owned());
    };
    if let Some(holder) = slot.state.holder {
        return Some(format!("process {} reads the slot", holder.pid));
    }
    let (confirmed, frontier) = (slot.state.confirmed_flush, checkpoint.frontier.lsn);
    (confirmed != frontier).then(|| {
        format!(
            "the slot stands at {confirmed}, the checkpoint at {frontier}: a relay may be at work on another \
             server with this one's past"
        )
    })
}
