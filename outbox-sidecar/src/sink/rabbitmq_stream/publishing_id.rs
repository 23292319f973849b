//! Under which name and number a position is published: always the same ones, whoever does it.

use std::fmt;

use outbox_core::checkpoint::Checkpoint;
use outbox_core::{Lsn, Position, SystemId, TimelineHistory, TimelineId};

/// A generation is 2^47 bytes of log: so many fit a publishing id.
const GENERATION_BITS: u32 = 47;
/// Records of the log, commits too, start at multiples of 8 bytes (`MAXALIGN`).
const LSN_ALIGNMENT: u64 = 8;
const INDEX_BITS: u32 = 20;
/// How many messages of one transaction can have a publishing id.
pub(super) const INDEX_MAX: u32 = (1 << INDEX_BITS) - 1;

/// A publisher's name, as far as positions decide it. The broker keeps the highest publishing id
/// of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    timeline: TimelineId,
    /// Where the timeline branched off: two that carry the same number do not share a name.
    start: Lsn,
    generation: u64,
}

impl Reference {
    fn new(timeline: TimelineId, start: Lsn, lsn: Lsn) -> Self {
        Self {
            timeline,
            start,
            generation: lsn.as_u64() >> GENERATION_BITS,
        }
    }

    /// The name, as the broker knows it.
    pub(super) fn name(&self, lineage: &Lineage) -> String {
        let (relay, system_id) = (&lineage.relay, lineage.system_id);
        format!("outbox-{relay}/{system_id}/{self}")
    }

    /// Where the message with this publishing id stands.
    pub(super) fn position(&self, id: u64) -> Position {
        let within = (id >> INDEX_BITS) * LSN_ALIGNMENT;
        Position {
            commit_lsn: Lsn::new(self.generation << GENERATION_BITS | within),
            index: u32::try_from(id & u64::from(INDEX_MAX)).unwrap_or(INDEX_MAX),
        }
    }

    fn of_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (timeline, start) = (self.timeline, self.start.as_u64());
        write!(f, "{timeline}@{start:X}/{}", self.generation)
    }
}

/// A position that has no publishing id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unnumbered {
    /// A property of PostgreSQL's log does not hold.
    #[error(
        "the commit LSN {0} is no multiple of {LSN_ALIGNMENT}: publishing ids cannot be made of it"
    )]
    Unaligned(Lsn),
    /// Too many messages in one transaction.
    #[error(
        "it has the number {0} in its transaction: a stream takes {max} messages of one transaction",
        max = INDEX_MAX + 1
    )]
    Index(u32),
}

/// Whose log is published, and which timelines it came along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lineage {
    relay: String,
    system_id: SystemId,
    timeline: TimelineId,
    history: TimelineHistory,
}

impl Lineage {
    /// Of the log that the checkpoint's batch comes from.
    pub(super) fn new(relay: &str, checkpoint: &Checkpoint) -> Self {
        Self {
            relay: relay.to_owned(),
            system_id: checkpoint.system_id,
            timeline: checkpoint.timeline,
            history: checkpoint.timeline_history.clone(),
        }
    }

    pub(super) fn timeline(&self) -> TimelineId {
        self.timeline
    }

    /// The publisher whose publishing ids are the timelines that were published from.
    pub(super) fn timelines_name(&self) -> String {
        format!("outbox-{}/{}/timelines", self.relay, self.system_id)
    }

    /// The publisher and the number of a position. A position is named after the timeline it was
    /// *written* on: whoever publishes it, on that timeline or on a later one, gives it the same.
    pub(super) fn locate(&self, position: Position) -> Result<(Reference, u64), Unnumbered> {
        let lsn = position.commit_lsn;
        if !lsn.as_u64().is_multiple_of(LSN_ALIGNMENT) {
            return Err(Unnumbered::Unaligned(lsn));
        }
        if position.index > INDEX_MAX {
            return Err(Unnumbered::Index(position.index));
        }
        let mut start = Lsn::ZERO;
        let mut timeline = self.timeline;
        for entry in self.history.entries() {
            if lsn < entry.switch_point {
                timeline = entry.timeline;
                break;
            }
            start = entry.switch_point;
        }
        let within = lsn.as_u64() & ((1 << GENERATION_BITS) - 1);
        let id = (within / LSN_ALIGNMENT) << INDEX_BITS | u64::from(position.index);
        Ok((Reference::new(timeline, start, lsn), id))
    }

    /// The publishers to ask whether a stream holds what this log does not, newest first, each
    /// with the switch point that its messages must lie before. The first that published at all
    /// answers for those before it: it was let through.
    pub(super) fn witnesses(&self, lsn: Lsn) -> Vec<(Reference, Option<Lsn>)> {
        let entries = self.history.entries();
        let start = entries.last().map_or(Lsn::ZERO, |last| last.switch_point);
        let current = Reference::new(self.timeline, start, lsn);
        let mut witnesses = vec![(current, None)];
        if let Some(before) = current.generation.checked_sub(1) {
            witnesses.push((current.of_generation(before), None));
        }
        for (number, entry) in entries.iter().enumerate().rev() {
            let parent = number.checked_sub(1).and_then(|parent| entries.get(parent));
            let start = parent.map_or(Lsn::ZERO, |parent| parent.switch_point);
            let last = Reference::new(entry.timeline, start, entry.switch_point);
            let generations = [
                last.generation.checked_add(1),
                Some(last.generation),
                last.generation.checked_sub(1),
            ];
            for generation in generations.into_iter().flatten() {
                witnesses.push((last.of_generation(generation), Some(entry.switch_point)));
            }
        }
        witnesses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outbox_core::HistoryEntry;

    fn lineage(timeline: u32, history: &[(u32, u64)]) -> Lineage {
        let entry = |&(timeline, switch): &(u32, u64)| HistoryEntry {
            timeline: TimelineId(timeline),
            switch_point: Lsn::new(switch),
        };
        Lineage {
            relay: "policy".into(),
            system_id: SystemId(7),
            timeline: TimelineId(timeline),
            history: history.iter().map(entry).collect(),
        }
    }

    fn at(lsn: u64, index: u32) -> Position {
        Position {
            commit_lsn: Lsn::new(lsn),
            index,
        }
    }

    #[test]
    fn ids_grow_with_positions_and_lead_back() {
        let lineage = lineage(1, &[]);
        let last = (1 << 47) - 8;
        let mut before = None;
        for position in [
            at(8, 0),
            at(8, 1),
            at(8, INDEX_MAX),
            at(16, 0),
            at(last, INDEX_MAX),
        ] {
            let (reference, id) = lineage.locate(position).unwrap();
            assert_eq!(reference.position(id), position);
            assert!(before < Some(id));
            before = Some(id);
        }
        assert_eq!(before, Some(u64::MAX));
    }

    #[test]
    fn a_generation_begins_anew_under_another_name() {
        let lineage = lineage(1, &[]);
        let (first, _) = lineage.locate(at((1 << 47) - 8, 0)).unwrap();
        let (second, id) = lineage.locate(at(1 << 47 | 16, 3)).unwrap();
        assert_eq!(first.name(&lineage), "outbox-policy/7/1@0/0");
        assert_eq!(second.name(&lineage), "outbox-policy/7/1@0/1");
        assert_eq!(id, 2 << 20 | 3);
        assert_eq!(second.position(id), at(1 << 47 | 16, 3));
    }

    #[test]
    fn a_position_keeps_its_name_on_later_timelines() {
        let before = lineage(1, &[]);
        let after = lineage(3, &[(1, 0x1000), (2, 0x2000)]);
        let name = |lineage: &Lineage, lsn| {
            let (reference, id) = lineage.locate(at(lsn, 0)).unwrap();
            (reference.name(lineage), id)
        };
        assert_eq!(name(&before, 0xFF8), name(&after, 0xFF8));
        assert_eq!(name(&after, 0x1000).0, "outbox-policy/7/2@1000/0");
        assert_eq!(name(&after, 0x2000).0, "outbox-policy/7/3@2000/0");
        // Promoted twice from copies of the first: the same number, another timeline.
        let other = lineage(2, &[(1, 0x1800)]);
        assert_eq!(name(&other, 0x1800).0, "outbox-policy/7/2@1800/0");
    }

    #[test]
    fn the_newest_timeline_is_asked_first() {
        let lineage = lineage(3, &[(1, 0x1000), (2, 0x2000)]);
        let witnesses = lineage.witnesses(Lsn::new(0x3000));
        let shown: Vec<String> = witnesses.iter().map(|(name, _)| name.to_string()).collect();
        let expected = ["3@2000/0", "2@1000/1", "2@1000/0", "1@0/1", "1@0/0"];
        assert_eq!(shown, expected);
        assert_eq!(witnesses[0].1, None);
        assert_eq!(witnesses[2].1, Some(Lsn::new(0x2000)));
        assert_eq!(witnesses[4].1, Some(Lsn::new(0x1000)));
    }

    #[test]
    fn what_has_no_id_is_named() {
        let lineage = lineage(1, &[]);
        let error = lineage.locate(at(12, 0)).unwrap_err();
        assert_eq!(error, Unnumbered::Unaligned(Lsn::new(12)));
        let error = lineage.locate(at(8, INDEX_MAX + 1)).unwrap_err();
        assert!(error.to_string().contains("1048576"), "{error}");
    }
}
