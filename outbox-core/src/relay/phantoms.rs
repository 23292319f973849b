use std::fmt;

use crate::checkpoint::LastHandled;
use crate::{Lsn, MessageId, Position, TimelineId};

/// Messages were published that the surviving timeline does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phantoms {
    /// Where it was committed what was published.
    pub lost_timeline: TimelineId,
    /// Where the timelines parted.
    pub switch_point: Lsn,
    /// The last message that was published, or set aside.
    pub last: LastHandled,
    /// The timeline that the server is on.
    pub timeline: TimelineId,
    /// What the broker shows of them.
    pub list: PhantomList,
}

/// What was found of them when the broker was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhantomList {
    /// How many.
    pub count: u64,
    /// Some of them, the first that were read.
    pub some: Vec<Phantom>,
    /// What limits the list, in words; empty where nothing does.
    pub remarks: Vec<String>,
}

/// A message that was published and lost by the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phantom {
    /// Its identity.
    pub id: MessageId,
    /// Where it stood in the commit order of the lost timeline.
    pub position: Position,
    /// Where it was published to.
    pub destination: String,
}

impl Phantoms {
    /// Whether a message with this position is one of them.
    #[must_use]
    pub fn include(&self, timeline: TimelineId, position: Position) -> bool {
        timeline == self.lost_timeline
            && position.commit_lsn >= self.switch_point
            && position <= self.last.position()
    }
}

impl fmt::Display for Phantoms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "messages published after {} (up to {}) are not in the database: they were lost in the \
             fail-over to timeline {}; ",
            self.switch_point,
            self.last.position(),
            self.timeline
        )?;
        let list = &self.list;
        match list.count {
            1 => f.write_str("the broker shows 1 message of them")?,
            count => write!(f, "the broker shows {count} messages of them")?,
        }
        let mut between = ": ";
        for phantom in &list.some {
            let Phantom {
                id,
                position,
                destination,
            } = phantom;
            write!(f, "{between}{id} at {position} in {destination:?}")?;
            between = ", ";
        }
        let more = list.count.saturating_sub(list.some.len() as u64);
        if more > 0 {
            write!(f, " and {more} more, each in the log")?;
        }
        for remark in &list.remarks {
            write!(f, " ({remark})")?;
        }
        f.write_str("; see docs/command-line.md, Exit codes")
    }
}
