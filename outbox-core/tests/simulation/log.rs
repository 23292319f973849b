use outbox_core::{
    Frontier, HistoryEntry, Lsn, MessageId, OutboxRow, Position, TimelineHistory, TimelineId,
    Timestamp,
};

use super::stuck_table::StuckTable;

/// A committed transaction as the write-ahead log holds it.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) commit_lsn: u64,
    pub(crate) end_lsn: u64,
    pub(crate) xid: u32,
    /// Serial numbers of its outbox rows; a foreign transaction has none.
    pub(crate) rows: Vec<u32>,
    /// What an operator asks for in it.
    pub(crate) request: Option<u32>,
}

/// One line of history of the database. A promotion or a disk put back starts another.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) timeline: u32,
    pub(crate) history: Vec<(u32, u64)>,
    pub(crate) transactions: Vec<Transaction>,
    /// What the log makes of stuck messages, each time with where the statement ends.
    stuck: Vec<(u64, StuckTable)>,
    pub(crate) end: u64,
    pub(crate) xid: u32,
    /// The log it branched off, and up to where the two are the same.
    parent: Option<(usize, u64)>,
    promoted: bool,
}

/// Every log there ever was.
#[derive(Debug)]
pub(crate) struct Logs(Vec<Log>);

pub(crate) const GENESIS: u64 = 1000;

impl Logs {
    pub(crate) fn new() -> Self {
        Self(vec![Log {
            timeline: 1,
            history: Vec::new(),
            transactions: Vec::new(),
            stuck: vec![(0, StuckTable::default())],
            end: GENESIS,
            xid: 100,
            parent: None,
            promoted: false,
        }])
    }

    pub(crate) fn get(&self, log: usize) -> &Log {
        &self.0[log]
    }

    pub(crate) fn get_mut(&mut self, log: usize) -> &mut Log {
        &mut self.0[log]
    }

    /// A log that shares everything before `at` with `parent`. A promotion counts on.
    pub(crate) fn branch(&mut self, parent: usize, at: u64, promoted: bool) -> usize {
        let timeline_max = self.0.iter().map(|log| log.timeline).max().unwrap_or(1);
        let mut log = self.0[parent].clone();
        log.transactions.retain(|txn| txn.end_lsn <= at);
        log.stuck.retain(|(end_lsn, _)| *end_lsn <= at);
        log.xid = log.transactions.last().map_or(100, |txn| txn.xid);
        log.end = at;
        log.parent = Some((parent, at));
        log.promoted = promoted;
        if promoted {
            // Whoever lags behind an earlier switch never took part in it.
            while let Some((timeline, _)) = log.history.pop_if(|(_, switch)| at < *switch) {
                log.timeline = timeline;
            }
            log.history.push((log.timeline, at));
            log.timeline = timeline_max + 1;
        }
        self.0.push(log);
        self.0.len() - 1
    }

    /// Up to where two logs are the same; `u64::MAX` for one and the same.
    pub(crate) fn common(&self, a: usize, b: usize) -> u64 {
        self.parted(a, b, true)
    }

    /// Up to where two logs are the same but for promotions, which their histories tell.
    pub(crate) fn put_back(&self, a: usize, b: usize) -> u64 {
        self.parted(a, b, false)
    }

    fn parted(&self, mut a: usize, mut b: usize, by_promotion: bool) -> u64 {
        let mut common = u64::MAX;
        while a != b {
            // A branch has a larger number than its parent.
            let younger = if a > b { &mut a } else { &mut b };
            let (parent, at) = self.0[*younger].parent.unwrap_or((0, 0));
            if by_promotion || !self.0[*younger].promoted {
                common = common.min(at);
            }
            *younger = parent;
        }
        common
    }

    /// Whether `log` is `ancestor`, or branched off it.
    pub(crate) fn descends(&self, mut log: usize, ancestor: usize) -> bool {
        while log > ancestor {
            log = self.0[log].parent.map_or(0, |(parent, _)| parent);
        }
        log == ancestor
    }
}

impl Log {
    /// Whether this is `timeline`, or one that came from it.
    pub(crate) fn comes_from(&self, timeline: u32) -> bool {
        self.timeline == timeline || self.history.iter().any(|(earlier, _)| *earlier == timeline)
    }

    pub(crate) fn history(&self) -> TimelineHistory {
        self.history
            .iter()
            .map(|(timeline, at)| HistoryEntry {
                timeline: TimelineId(*timeline),
                switch_point: Lsn::new(*at),
            })
            .collect()
    }

    /// The rows from one frontier to another, in commit order.
    pub(crate) fn rows_between(
        &self,
        from: Frontier,
        to: Frontier,
    ) -> impl Iterator<Item = (Position, u32, u32)> {
        let first = self
            .transactions
            .partition_point(|txn| txn.commit_lsn < from.lsn.as_u64());
        self.transactions[first..]
            .iter()
            .take_while(move |txn| txn.commit_lsn <= to.lsn.as_u64())
            .flat_map(|txn| {
                txn.rows.iter().enumerate().map(|(index, row)| {
                    let position = Position {
                        commit_lsn: Lsn::new(txn.commit_lsn),
                        index: index as u32,
                    };
                    (position, txn.xid, *row)
                })
            })
            .filter(move |(position, _, _)| !from.covers(*position) && to.covers(*position))
    }

    /// The transaction whose request has messages between two frontiers.
    pub(crate) fn request_between(
        &self,
        from: Frontier,
        to: Frontier,
    ) -> Option<(&Transaction, u32)> {
        let asks = |txn: &&Transaction| {
            let start = Frontier::inside(Lsn::new(txn.commit_lsn), txn.rows.len() as u32);
            from.lsn.as_u64() <= txn.commit_lsn && start < to
        };
        let mut asked = self
            .transactions
            .iter()
            .filter_map(|txn| Some((txn, txn.request?)));
        asked.find(|(txn, _)| asks(txn))
    }

    pub(crate) fn stuck(&self) -> &StuckTable {
        &self.stuck[self.stuck.len() - 1].1
    }

    /// A transaction that ends where the log does now.
    pub(crate) fn change_stuck(&mut self) -> &mut StuckTable {
        let table = self.stuck().clone();
        self.stuck.push((self.end, table));
        let last = self.stuck.len() - 1;
        &mut self.stuck[last].1
    }

    /// The same, by the relay.
    pub(crate) fn write_stuck(&mut self) -> &mut StuckTable {
        self.end += 64;
        let table = self.change_stuck();
        table.writes += 1;
        table
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> {
        self.transactions
            .iter()
            .flat_map(|txn| txn.rows.iter().copied())
    }
}

pub(crate) fn message_id(row: u32) -> MessageId {
    MessageId::from_bytes(u128::from(row).to_be_bytes())
}

pub(crate) fn row_number(id: MessageId) -> u32 {
    let bytes = id.as_bytes();
    u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])
}

/// A few keys, and none now and then.
pub(crate) fn key(row: u32) -> Option<&'static str> {
    [None, Some("a"), Some("b"), Some("c"), Some("a")][row as usize % 5]
}

pub(crate) fn outbox_row(row: u32) -> OutboxRow {
    const PAYLOAD: &[u8] = &[0; 512];
    // Sizes differ, and the same row always has the same.
    let bytes = (row as usize * 37) % if row.is_multiple_of(7) { 512 } else { 64 };
    OutboxRow {
        id: message_id(row),
        destination: bytestring::ByteString::from_static("policy"),
        key: key(row).map(bytestring::ByteString::from_static),
        message_type: bytestring::ByteString::from_static("T"),
        content_type: bytestring::ByteString::from_static("c"),
        payload: Some(bytes::Bytes::from_static(&PAYLOAD[..bytes])),
        headers: bytestring::ByteString::from_static("{}"),
        created_at: Timestamp::default(),
    }
}
