//! Rows and messages, once both are put by: first by id, then by key.

use super::aside_record::AsideRecord;
use super::digest::Digester;
use super::error::VerifyError;
use super::findings::{Finding, Findings, Kind, place};
use super::gather::Gathered;
use super::join::{Sides, find_message, join};
use super::judge::Judge;
use super::marks::Marks;
use super::names::Names;
use super::order::out_of_order;
use super::position_range::PositionRange;
use super::record::RowRecord;
use super::spill::{BUCKETS, Spill};
use super::tally::Tally;

/// What of a bucket is compared at once, as it lies in the file; in memory it is twice that.
pub(super) const JOIN_BYTES: u64 = 8 * 1024 * 1024;
/// What of a bucket is looked through for one share of its keys: a key takes a hundred bytes of
/// memory, and each of its records about half of that in the file.
pub(super) const ORDER_BYTES: u64 = 16 * 1024 * 1024;

/// What is compared, and within which limits.
pub(super) struct Comparison<'a> {
    pub(super) rows: &'a Spill<RowRecord>,
    pub(super) asides: &'a Spill<AsideRecord>,
    pub(super) names: &'a Names,
    pub(super) gathered: &'a Gathered,
    pub(super) digester: &'a Digester,
    /// Whether a message may be there twice.
    pub(super) may_repeat: bool,
    /// What is judged.
    pub(super) positions: PositionRange,
    /// So many findings of each kind are listed.
    pub(super) findings_max: usize,
    pub(super) join_bytes: u64,
    pub(super) order_bytes: u64,
}

impl Comparison<'_> {
    /// Compares, and says now and then how far it is.
    pub(super) fn run(
        &self,
        mut step: impl FnMut(String),
    ) -> Result<(Findings, Tally), VerifyError> {
        let messages = &self.gathered.messages;
        let mut judge = Judge {
            names: self.names,
            may_repeat: self.may_repeat,
            positions: self.positions,
            findings: Findings::new(self.findings_max),
            in_order: Marks::new(messages.records()),
            tally: Tally::default(),
        };
        let percent = |buckets: usize| buckets * 100 / BUCKETS;
        let sides = Sides {
            rows: self.rows,
            messages,
            asides: self.asides,
        };
        join(
            sides,
            self.digester,
            self.join_bytes,
            &mut judge,
            |buckets| step(format!("comparing, {} %", percent(buckets))),
        )?;
        let Judge {
            mut findings,
            in_order,
            tally,
            ..
        } = judge;
        out_of_order(
            &self.gathered.order,
            &in_order,
            self.order_bytes,
            |record, furthest| {
                if !self.positions.contains(record.position) {
                    return Ok(());
                }
                let find = |id, sequence| find_message(messages, self.digester, id, sequence);
                findings.try_add(Kind::OutOfOrder, || {
                    let message = find(record.id, record.sequence)?;
                    let before = find(furthest.id, furthest.sequence)?;
                    let (before, position) = (place(&before, self.names), furthest.position);
                    let detail =
                        format!("behind {} of position {position}, at {before}", furthest.id);
                    Ok(Finding::of(Kind::OutOfOrder, &message, self.names, detail))
                })
            },
            |buckets| step(format!("looking at the order, {} %", percent(buckets))),
        )?;
        Ok((findings, tally))
    }
}
