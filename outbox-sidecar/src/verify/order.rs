use std::collections::HashMap;

use outbox_core::{MessageId, Position};

use super::error::VerifyError;
use super::marks::Marks;
use super::record::OrderRecord;
use super::spill::{BUCKETS, Spill};

/// Whose order is kept: a key within one partition of a destination.
type Line = (u32, u32, u64);

/// The furthest message of a key so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Furthest {
    pub(super) position: Position,
    pub(super) id: MessageId,
    pub(super) sequence: u64,
}

/// Hands over each message that stands behind one of its key that was committed later, and the one
/// it stands behind. Only those count that are marked. A bucket that is larger than `pass_bytes` takes
/// several passes, each for a share of its keys.
pub(super) fn out_of_order(
    records: &Spill<OrderRecord>,
    counts: &Marks,
    pass_bytes: u64,
    mut found: impl FnMut(&OrderRecord, &Furthest) -> Result<(), VerifyError>,
    mut done: impl FnMut(usize),
) -> Result<(), VerifyError> {
    for bucket in 0..BUCKETS {
        let passes = records.bytes(bucket).div_ceil(pass_bytes);
        for pass in 0..passes {
            let mut lines: HashMap<Line, Furthest> = HashMap::new();
            records.each(bucket, |record| {
                if record.key % passes != pass || !counts.has(record.sequence) {
                    return Ok(());
                }
                let line = (record.destination, record.partition, record.key);
                let here = Furthest {
                    position: record.position,
                    id: record.id,
                    sequence: record.sequence,
                };
                let furthest = *lines.entry(line).or_insert(here);
                if furthest.position < record.position {
                    lines.insert(line, here);
                } else if furthest.sequence != record.sequence {
                    found(&record, &furthest)?;
                }
                Ok::<_, VerifyError>(())
            })?;
        }
        done(bucket + 1);
    }
    Ok(())
}
