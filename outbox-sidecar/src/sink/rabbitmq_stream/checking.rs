//! What a stream holds is compared with the log before anything is published into it.

use bytestring::ByteString;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::RefusalReason;
use outbox_core::{Lsn, Position};
use tracing::warn;

use super::asking::{Asking, Halt, Refused, last_id};
use super::publishing_id::Lineage;
use super::suspects::Suspects;

/// What decides whether a stream may be published to.
pub(super) struct Conditions<'a> {
    pub(super) lineage: &'a Lineage,
    pub(super) suspects: &'a mut Suspects,
    /// The newest durable checkpoint.
    pub(super) settled: Option<&'a Checkpoint>,
    pub(super) phantoms_accepted: bool,
}

pub(super) fn not_in_the_log(stream: &str, awaited: Position) -> Halt {
    Halt::Diverged(format!(
        "stream {stream:?} holds a message at {awaited}, beyond the checkpoint that the relay went on \
         from, and the log did not bring it again: the database was set back. What the log brought \
         for this stream up to there was dropped as known"
    ))
}

/// Whether the stream is there, readable, and holds nothing that speaks against publishing: then its
/// last message, if the log must bring that again.
pub(super) async fn check(
    asking: &mut Asking<'_>,
    conditions: &mut Conditions<'_>,
    stream: &ByteString,
    first: Position,
) -> Result<Result<Option<Position>, Refused>, Halt> {
    if !asking.exists(stream).await? {
        let text = format!("there is no stream {stream:?}");
        return Ok(Err((RefusalReason::DestinationMissing, text)));
    }
    let lineage = conditions.lineage;
    if let Some(suspect) = conditions.suspects.of(stream) {
        let last = match last_id(asking, stream, &suspect.reference.name(lineage)).await? {
            Ok(last) => last,
            Err(refused) => return Ok(Err(refused)),
        };
        if last > suspect.id {
            return Err(Halt::Diverged(suspect.overtaken(stream, last)));
        }
        conditions.suspects.clear(stream);
    }
    for (reference, switch_point) in lineage.witnesses(first.commit_lsn) {
        let last = match last_id(asking, stream, &reference.name(lineage)).await? {
            Ok(0) => continue,
            Ok(last) => reference.position(last),
            Err(refused) => return Ok(Err(refused)),
        };
        let is_phantom = |point: &Lsn| last.commit_lsn >= *point;
        let Some(switch_point) = switch_point.filter(is_phantom) else {
            let covered = |settled: &Checkpoint| settled.frontier.covers(last);
            if conditions.settled.is_none_or(covered) {
                break;
            }
            if last < first {
                return Err(not_in_the_log(stream, last));
            }
            return Ok(Ok(Some(last)));
        };
        let text = format!(
            "stream {stream:?} holds messages up to {last} of a timeline that was left at \
             {switch_point}: timeline {} does not have them",
            lineage.timeline()
        );
        if !conditions.phantoms_accepted {
            return Err(Halt::Diverged(format!(
                "{text}. Nothing is published into it. See what consumers made of them, then make \
                 the stream anew, or go on under another relay.name"
            )));
        }
        warn!(stream = %stream, %last, %switch_point, "{text}; that is accepted");
        break;
    }
    Ok(Ok(None))
}
