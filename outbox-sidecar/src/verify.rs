//! The auditor: compares the outbox table with what the broker holds.
//!
//! 1. One snapshot of the table is read, and where the log ends then ([`snapshot`]).
//! 2. The relay's checkpoint must pass that end: then all of it is published ([`frontier`]).
//! 3. What the relay has set aside is read ([`aside_rows`]): after its checkpoint has passed, so that
//!    nothing of it is missing, and before the broker, so that what was replayed is there.
//! 4. The destinations that the rows name are read to their ends, through `sink/` ([`gather`]).
//! 5. Rows and messages are brought together by their id ([`join`]), and what stands for each row is
//!    found ([`places`]) and compared with it ([`judge`]).
//! 6. Of the messages that stand for a row, those of a key must stand in the order of their positions
//!    ([`order`]); a replay too, if its key has waited for it.
//!
//! Nothing is changed anywhere. What is compared is put by in temporary files, as digests, spread
//! over buckets by a hash ([`spill`]): memory does not grow with the table, but for one bit a
//! message. Nothing in `sink/` or `source/` knows of this module.

mod aside_record;
mod aside_rows;
mod broker;
mod comparison;
mod content;
mod copying;
mod digest;
mod error;
mod findings;
mod frontier;
mod gather;
mod join;
mod judge;
mod marks;
mod names;
mod order;
mod places;
mod position_range;
mod progress;
mod record;
mod report;
mod snapshot;
mod spill;
mod tally;
#[cfg(test)]
mod tests;
mod window;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use broker::Readable;
pub(crate) use error::VerifyError;
pub(crate) use position_range::{PositionRange, read_position};
pub(crate) use progress::Progress;
pub(crate) use window::Window;

use outbox_core::{Frontier, Timestamp};

use crate::assembly::assemble;
use crate::config::Settings;
use aside_record::AsideRecord;
use comparison::{Comparison, JOIN_BYTES, ORDER_BYTES};
use digest::Digester;
use findings::Findings;
use frontier::{SlotReader, Waited};
use gather::{Due, Gathered};
use report::Report;
use snapshot::Snapshot;
use spill::Spill;
use tally::Tally;

/// A record may be so much older than its row: clocks differ.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(3600);

/// How to compare.
#[derive(Clone, Debug)]
pub(crate) struct VerifyOptions {
    pub(crate) window: Window,
    pub(crate) positions: PositionRange,
    /// How long the relay may take to publish what was read, and open transactions to end.
    pub(crate) wait_max: Duration,
    /// So many findings of each kind are listed.
    pub(crate) findings_max: usize,
    /// Where the temporary files are.
    pub(crate) directory: PathBuf,
}

/// Compares the outbox with what the broker holds.
pub(crate) async fn verify(
    settings: &Settings,
    options: &VerifyOptions,
    progress: &Arc<Progress>,
) -> Result<Report, VerifyError> {
    let readable = Readable::of(&settings.sink)?;
    if options.positions.is_empty() {
        return Err(VerifyError::EmptyRange);
    }
    let digester = Digester::default();
    progress.step("reading the outbox");
    let mut snapshot = snapshot::take(settings, options, &digester, progress).await?;

    if options.window.is_bounded() && snapshot.rows.records() == 0 {
        return Err(VerifyError::NothingInRange { rows: 0 });
    }

    progress.step("waiting for the relay's checkpoint");
    let mut sink = assemble(settings)?;
    let end = options.positions.frontier(Frontier::at(snapshot.end));
    // Without a slot there is nothing to wait for: what is missing now is missing.
    let is_over = SlotReader::of(settings).await == SlotReader::NoSlot;
    let wait_max = if is_over {
        Duration::ZERO
    } else {
        options.wait_max
    };
    let waiting = move || frontier::await_frontier(sink.as_mut(), end, wait_max);
    let mut note = None;
    let checkpoint = match tokio::task::spawn_blocking(waiting).await?? {
        Waited::Passed(checkpoint) => checkpoint,
        Waited::Behind(checkpoint) if is_over => {
            note = Some(format!(
                "the slot of this relay does not exist: of what was committed behind {}, nothing was \
                 published, and nothing will be",
                checkpoint.frontier.lsn
            ));
            checkpoint
        }
        Waited::Behind(checkpoint) => {
            return Err(VerifyError::Behind {
                frontier: checkpoint.frontier.lsn,
                end: end.lsn,
                waited_s: wait_max.as_secs(),
                relay_text: SlotReader::of(settings).await.text(),
            });
        }
    };

    progress.step("reading what was set aside");
    let system_id = checkpoint.system_id;
    let names = &mut snapshot.names;
    let asides = aside_rows::read(settings, options, system_id, names, &digester).await?;

    let (settings, options) = (settings.clone(), options.clone());
    let progress = Arc::clone(progress);
    let comparing = tokio::task::spawn_blocking(move || {
        let read = (&snapshot, &asides);
        compare(&settings, &readable, &options, read, &digester, &progress)
    });
    let mut report = comparing.await??;
    report.notes.splice(0..0, note);
    Ok(report)
}

fn compare(
    settings: &Settings,
    readable: &Readable,
    options: &VerifyOptions,
    (snapshot, asides): (&Snapshot, &Spill<AsideRecord>),
    digester: &Digester,
    progress: &Progress,
) -> Result<Report, VerifyError> {
    let due = Due {
        window: options.window,
        positions: options.positions,
        before: snapshot.begin,
    };
    let mut gathered = Gathered::new(&options.directory)?;
    let mut report = Report {
        relay: settings.relay.clone(),
        sink: (settings.sink.section(), settings.sink.delivery()),
        end: snapshot.end.to_string(),
        positions: options.positions,
        destinations: snapshot.names.all().count(),
        rows: snapshot.rows.records(),
        messages: 0,
        foreign: 0,
        rolled_back: 0,
        tally: Tally::default(),
        notes: Vec::new(),
        findings: Findings::new(options.findings_max),
    };
    let since = options.window.from.map(|from| {
        let margin = i64::try_from(CLOCKS_DIFFER_MAX.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_unix_us(from.as_unix_us().saturating_sub(margin))
    });
    let mut broker = readable.connect()?;
    for (number, name) in snapshot.names.all() {
        progress.step(format!("reading {name}"));
        let deadline = Instant::now() + options.wait_max;
        let read = broker.read(name, since, deadline, |message| {
            gathered.put(message, number, &due, digester, progress)
        })?;
        report.rolled_back += read.rolled_back;
        report.notes.extend(read.remarks);
        if !read.exists {
            report
                .notes
                .push(format!("destination {name:?} does not exist"));
        }
        if read.deleted > 0 {
            report.notes.push(format!(
                "the broker has deleted {} messages of {name:?} by its retention: those of older \
                 rows are missing; compare what is younger (--from)",
                read.deleted
            ));
        }
    }
    drop(broker);
    gathered.finish()?;
    report.messages = gathered.messages.records();
    report.foreign = gathered.foreign;
    let comparison = Comparison {
        rows: &snapshot.rows,
        asides,
        names: &snapshot.names,
        gathered: &gathered,
        digester,
        may_repeat: settings.sink.may_repeat(),
        positions: options.positions,
        findings_max: options.findings_max,
        join_bytes: JOIN_BYTES,
        order_bytes: ORDER_BYTES,
    };
    (report.findings, report.tally) = comparison.run(|step| progress.step(step))?;
    if options.positions.is_bounded() && report.tally.in_range == 0 && !report.has_findings() {
        let rows = report.rows;
        return Err(VerifyError::NothingInRange { rows });
    }
    Ok(report)
}
