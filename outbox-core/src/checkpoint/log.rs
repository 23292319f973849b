use super::Checkpoint;

/// The checkpoints of one relay in the order the broker holds them; keeps the newest.
///
/// Their sequence must grow: two relays that both wrote would show as a step back, and then
/// nobody can say what is published. Only the genesis may stand more than once, because `init`
/// may be killed between writing it and noting that it is written.
#[derive(Debug, Default)]
pub struct CheckpointLog {
    newest: Option<Checkpoint>,
}

/// Two writers of one relay's checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "checkpoint {found} of relay {relay} follows checkpoint {newest}: two relays of this name \
     have written; stop them all, then compare the outbox with the broker"
)]
pub struct SequenceError {
    relay: String,
    newest: u64,
    found: u64,
}

impl CheckpointLog {
    /// Adds the next checkpoint in the broker's order.
    ///
    /// # Errors
    /// Its sequence does not grow.
    pub fn push(&mut self, checkpoint: Checkpoint) -> Result<(), SequenceError> {
        if let Some(newest) = &self.newest {
            let genesis_again = newest.sequence == 0 && checkpoint.sequence == 0;
            if checkpoint.sequence <= newest.sequence && !genesis_again {
                return Err(SequenceError {
                    relay: checkpoint.relay,
                    newest: newest.sequence,
                    found: checkpoint.sequence,
                });
            }
        }
        self.newest = Some(checkpoint);
        Ok(())
    }

    /// The relay's checkpoint was deleted (`remove`): what follows is a new life.
    pub fn clear(&mut self) {
        self.newest = None;
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn into_newest(self) -> Option<Checkpoint> {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frontier, Lsn, SystemId, TimelineHistory, TimelineId, Timestamp};

    fn checkpoint(sequence: u64) -> Checkpoint {
        Checkpoint {
            relay: "r".into(),
            system_id: SystemId(1),
            timeline: TimelineId(1),
            timeline_history: TimelineHistory::default(),
            frontier: Frontier::at(Lsn::new(sequence)),
            last: None,
            stuck_writes: 0,
            publication_fingerprint: String::new(),
            sequence,
            written_at: Timestamp::default(),
        }
    }

    fn read(sequences: &[u64]) -> Result<Option<u64>, SequenceError> {
        let mut log = CheckpointLog::default();
        for sequence in sequences {
            log.push(checkpoint(*sequence))?;
        }
        Ok(log.into_newest().map(|newest| newest.sequence))
    }

    #[test]
    fn the_newest_counts_and_compaction_may_leave_holes() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[0, 0, 1, 5, 6]), Ok(Some(6)));
    }

    #[test]
    fn two_writers_are_noticed() {
        assert!(read(&[0, 1, 0]).is_err());
        assert!(read(&[4, 4]).is_err());
        assert!(read(&[5, 3]).is_err());
    }

    #[test]
    fn a_removed_relay_may_begin_again() {
        let mut log = CheckpointLog::default();
        log.push(checkpoint(9)).unwrap();
        log.clear();
        log.push(checkpoint(0)).unwrap();
        assert_eq!(log.into_newest().map(|newest| newest.sequence), Some(0));
    }
}
