//! What a node has on disk of the queues that it knows.

use std::path::{Path, PathBuf};

/// The log of the transactions that define queues, and the table that they go to.
const LOGS: [&str; 2] = ["LATEST.LOG", "PREVIOUS.LOG"];
const TABLES: [&str; 2] = ["rabbit_durable_queue.DCL", "rabbit_durable_queue.DCD"];
/// How the log says that a transaction counts: one without is forgotten by the next start.
const COMMITTED: &str = "committed";

/// The files of one node.
#[derive(Debug)]
pub(super) struct Files {
    data: PathBuf,
    node: String,
}

impl Files {
    pub(super) fn of(data: PathBuf, node: String) -> Self {
        Self { data, node }
    }

    /// Whether a queue of this name is there after a kill.
    pub(super) fn hold_queue(&self, name: &str) -> bool {
        let logged = LOGS.iter().any(|log| {
            let log = read(&self.data.join(log));
            find(&log, name).is_some_and(|rest| find(rest, COMMITTED).is_some())
        });
        let in_table = |table| find(&read(&self.data.join(table)), name).is_some();
        logged || TABLES.into_iter().any(in_table)
    }

    /// Whether this member of a group of replicas is there after a kill.
    pub(super) fn hold_group(&self, group: &str, member: &str) -> bool {
        let directory = self.data.join(group).join(&self.node).join("names.dets");
        find(&read(&directory), member).is_some()
    }
}

/// Nothing where there is no file: the node makes and replaces them as it goes.
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

/// What follows the text's last place.
fn find<'bytes>(bytes: &'bytes [u8], text: &str) -> Option<&'bytes [u8]> {
    let mut places = bytes.windows(text.len());
    let last = places.rposition(|found| found == text.as_bytes())?;
    bytes.get(last + text.len()..)
}
