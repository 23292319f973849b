use outbox_core::{Frontier, Position, TimelineId};

/// Where a message stands in the commit order, and on which timeline.
pub(super) type At = (TimelineId, Position);

/// Which messages are judged, by where they stand in the commit order: from the first position on,
/// before the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PositionRange {
    pub(crate) from: Option<Position>,
    pub(crate) to: Option<Position>,
}

impl PositionRange {
    /// Whether no message can stand there.
    pub(crate) fn is_empty(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if to <= from)
    }

    /// Whether it leaves anything out.
    pub(super) const fn is_bounded(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// Whether it lets through what stands there.
    pub(super) fn contains(&self, position: Position) -> bool {
        self.from.is_none_or(|from| from <= position) && self.to.is_none_or(|to| position < to)
    }

    /// Whether what stands there is judged; a message of ours that does not say where, is.
    pub(super) fn judges(&self, at: Option<At>) -> bool {
        at.is_none_or(|(_, position)| self.contains(position))
    }

    /// How far the relay must have come for all of it that lies before `end` to be published.
    pub(super) fn frontier(&self, end: Frontier) -> Frontier {
        self.to.map_or(end, |to| {
            end.min(Frontier {
                lsn: to.commit_lsn,
                index: to.index,
            })
        })
    }
}

/// A position as people write it: `LSN:index`, or the LSN alone, for the first message there.
pub(crate) fn read_position(text: &str) -> Option<Position> {
    let (lsn, index) = text.split_once(':').unwrap_or((text, "0"));
    Some(Position {
        commit_lsn: lsn.parse().ok()?,
        index: index.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use outbox_core::Lsn;

    use super::*;

    const fn at(lsn: u64, index: u32) -> Position {
        Position {
            commit_lsn: Lsn::new(lsn),
            index,
        }
    }

    #[test]
    fn a_position_is_read_as_it_is_shown() {
        for position in [at(0x16_B374_8D48, 7), at(8, 0)] {
            assert_eq!(read_position(&position.to_string()), Some(position));
        }
        assert_eq!(read_position("0/10"), Some(at(16, 0)));
        for wrong in [
            "",
            "1",
            "0/10:",
            "0/10:x",
            "0/10:-1",
            "1:0/10:0",
            "2026-11-21",
        ] {
            assert_eq!(read_position(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_range_begins_at_its_first_position_and_ends_before_its_second() {
        let range = PositionRange {
            from: Some(at(10, 1)),
            to: Some(at(20, 2)),
        };
        let inside = |position| range.contains(position);
        assert!(!inside(at(10, 0)) && inside(at(10, 1)) && inside(at(20, 1)) && !inside(at(20, 2)));
        assert!(range.is_bounded() && !range.is_empty());
        let turned = PositionRange {
            from: range.to,
            to: range.from,
        };
        assert!(turned.is_empty());
        let end = |lsn| Frontier::at(Lsn::new(lsn));
        assert_eq!(range.frontier(end(15)), end(15));
        assert_eq!(range.frontier(end(30)), Frontier::inside(Lsn::new(20), 2));
        assert_eq!(PositionRange::default().frontier(end(30)), end(30));
    }
}
