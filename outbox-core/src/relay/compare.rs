use super::{Identity, Inspection, PhantomList, Phantoms, SlotState, Stop};
use crate::Frontier;
use crate::checkpoint::{Checkpoint, LastHandled};

/// From where the relay goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resume {
    pub(super) frontier: Frontier,
    pub(super) last: Option<LastHandled>,
    /// Of the publication as it is now.
    pub(super) publication_fingerprint: String,
    /// The timeline is a new one: a checkpoint on it comes before anything else.
    pub(super) on_new_timeline: bool,
}

/// Whether this server can be the one the checkpoint was written for. Needs no slot, so that it
/// can be asked before anyone is disturbed: a staging copy or an old primary must not hurt the
/// healthy relay.
pub(super) fn same_cluster(identity: &Identity, checkpoint: &Checkpoint) -> Result<(), Stop> {
    if identity.system_id != checkpoint.system_id {
        return Err(Stop::OtherCluster {
            expected: checkpoint.system_id,
            found: identity.system_id,
        });
    }
    let descends = identity.timeline == checkpoint.timeline
        && identity.history == checkpoint.timeline_history
        || identity.timeline > checkpoint.timeline
            && identity.history.starts_with(&checkpoint.timeline_history)
            && identity.history.switch_point(checkpoint.timeline).is_some();
    if descends {
        Ok(())
    } else {
        Err(Stop::OtherTimeline {
            expected: checkpoint.timeline,
            found: identity.timeline,
        })
    }
}

/// Compares before anyone is disturbed, by a checkpoint that was read before the slot was ours: whoever
/// had it then may have written newer ones. `None` where only the newest can tell.
pub(super) fn compare_early(
    identity: &Identity,
    inspection: &Inspection,
    slot: &SlotState,
    checkpoint: &Checkpoint,
) -> Result<Option<Resume>, Stop> {
    match compare(identity, inspection, slot, checkpoint) {
        Err(Stop::SlotAhead { .. }) => Ok(None),
        compared => compared.map(Some),
    }
}

/// Compares everything that is known, in the order of the protocol. An error publishes nothing
/// and confirms nothing.
pub(super) fn compare(
    identity: &Identity,
    inspection: &Inspection,
    slot: &SlotState,
    checkpoint: &Checkpoint,
) -> Result<Resume, Stop> {
    let wal_end = inspection.wal_end;
    same_cluster(identity, checkpoint)?;
    let frontier = surviving_frontier(identity, checkpoint)?;
    if let Some(fault) = &slot.fault {
        return Err(Stop::SlotLost(fault.clone()));
    }
    if slot.confirmed_flush > frontier.lsn {
        return Err(Stop::SlotAhead {
            confirmed_flush: slot.confirmed_flush,
            frontier,
        });
    }
    if wal_end < frontier.lsn {
        return Err(Stop::LogSetBack { wal_end, frontier });
    }
    let publication = inspection.publication_fingerprint.clone();
    let publication_fingerprint = publication.ok_or_else(publication_missing)?;
    let relay = inspection.relay.as_ref();
    let accepted = relay.and_then(|relay| relay.publication_accepted.as_ref());
    if publication_fingerprint != checkpoint.publication_fingerprint
        && Some(&publication_fingerprint) != accepted
    {
        return Err(publication_altered(
            &publication_fingerprint,
            &checkpoint.publication_fingerprint,
        ));
    }
    Ok(Resume {
        frontier,
        last: checkpoint.last,
        publication_fingerprint,
        on_new_timeline: identity.timeline != checkpoint.timeline,
    })
}

/// While the relay is active: what commits under another publication is not sent, and is passed over.
pub(super) fn same_publication(inspection: &Inspection, known: &str) -> Result<(), Stop> {
    match inspection.publication_fingerprint.as_deref() {
        Some(found) if found == known => Ok(()),
        Some(found) => Err(publication_altered(found, known)),
        None => Err(publication_missing()),
    }
}

/// Why a publication is another than the one that was sent under. One that was made anew is missing in the
/// log until then, as the stream says, too: whichever is seen first, it is the same exit code.
fn publication_altered(found: &str, known: &str) -> Stop {
    let number = |fingerprint: &str| {
        let (number, _) = fingerprint.split_once('/')?;
        Some(number.to_owned())
    };
    // One that earlier builds wrote has no number, and says nothing of who was meant.
    let is_another = number(known).is_some_and(|known| number(found) != Some(known));
    if is_another {
        return Stop::PublicationMissing(
            "the publication was dropped, and is another one now".to_owned(),
        );
    }
    Stop::PublicationDiffers(
        "the publication was altered since the checkpoint was written: what committed meanwhile may \
         never have been sent, also where it was put back; see `init --accept-publication` in \
         docs/command-line.md"
            .to_owned(),
    )
}

pub(super) fn publication_missing() -> Stop {
    Stop::PublicationMissing("the publication does not exist".to_owned())
}

/// The checkpoint's frontier, as far as the server's timeline holds it.
///
/// Where the frontier lies beyond the switch point but no message does, it falls back to the
/// switch point; `last` lies on the common part and goes on proving that the log is the same.
fn surviving_frontier(identity: &Identity, checkpoint: &Checkpoint) -> Result<Frontier, Stop> {
    let Some(switch_point) = identity.history.switch_point(checkpoint.timeline) else {
        return Ok(checkpoint.frontier);
    };
    if Frontier::at(switch_point) >= checkpoint.frontier {
        return Ok(checkpoint.frontier);
    }
    match checkpoint.last {
        Some(last) if last.commit_lsn >= switch_point => Err(Stop::Phantoms(Box::new(Phantoms {
            lost_timeline: checkpoint.timeline,
            switch_point,
            last,
            timeline: identity.timeline,
            list: PhantomList::default(),
        }))),
        _ => Ok(Frontier::at(switch_point)),
    }
}
