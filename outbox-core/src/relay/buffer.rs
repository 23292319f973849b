use std::collections::VecDeque;
use std::time::Duration;

use super::BatchLimits;
use super::pending_request::PendingRequest;
use super::settings::{LINGER_BYTES_MAX, LINGER_MESSAGES_MAX};
use crate::sink::Delivery;
use crate::{Frontier, Lsn, OutboxRow, Position, RequestId, Timestamp};

/// What has arrived and waits for the sink, and where its transactions end.
#[derive(Debug)]
pub(super) struct Buffer {
    deliveries: VecDeque<Delivery>,
    /// What is complete, oldest first; the rest of `deliveries` is the open transaction's.
    complete: VecDeque<Complete>,
    /// How many of those are requests.
    requests: usize,
    bytes: usize,
    open: Option<Open>,
}

#[derive(Debug)]
enum Complete {
    /// A transaction with messages of ours.
    Transaction(Transaction),
    /// What an operator asked for: it comes last in its transaction.
    Request(PendingRequest),
}

#[derive(Debug)]
struct Transaction {
    count: usize,
    bytes: usize,
    /// The frontier once it is durable: its end, or the end of whatever foreign log follows it.
    end: Frontier,
}

/// The transaction that is arriving.
#[derive(Debug)]
struct Open {
    commit_lsn: Lsn,
    xid: u32,
    commit_time: Timestamp,
    /// The next message's index.
    next_index: u32,
    /// What of it waits in the buffer.
    count: usize,
    bytes: usize,
    since: Duration,
    /// What an operator asks for in it, as far as its logical messages say so.
    requests: VecDeque<RequestId>,
    /// Whether it named more than it may, and whether it named what cannot be read: each is said once.
    names_too_many: bool,
    names_nonsense: bool,
}

/// What the sink gets next.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) messages: Vec<Delivery>,
    pub(super) frontier: Frontier,
}

/// So many requests may be named in one transaction. It can make one; but anyone may emit logical
/// messages that name others, before it or after it.
const REQUESTS_MAX: usize = 16;
/// What a request counts for against the buffer's limit.
const REQUEST_BYTES: usize = size_of::<Complete>() + REQUESTS_MAX * size_of::<RequestId>() + 128;

/// The stream broke the order that the protocol promises.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disorder(pub(super) &'static str);

impl Buffer {
    pub(super) const fn new() -> Self {
        Self {
            deliveries: VecDeque::new(),
            complete: VecDeque::new(),
            requests: 0,
            bytes: 0,
            open: None,
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.complete.is_empty()
    }

    /// Whether anything waits that is complete.
    pub(super) fn has_complete(&self) -> bool {
        !self.complete.is_empty()
    }

    /// Whether whole transactions wait that a fuller batch might hold, too.
    pub(super) fn is_worth_waiting(&self, limits: &BatchLimits, buffer_bytes_max: usize) -> bool {
        let messages = limits.messages_max.min(LINGER_MESSAGES_MAX);
        let bytes = limits.bytes_max.min(LINGER_BYTES_MAX).min(buffer_bytes_max);
        let fits_more = self.deliveries.len() < messages && self.bytes < bytes;
        !self.complete.is_empty() && self.requests == 0 && fits_more
    }

    pub(super) const fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// When the oldest of what waits committed.
    pub(super) fn oldest_commit_time(&self) -> Option<Timestamp> {
        match self.complete.front() {
            Some(Complete::Request(request)) => Some(request.commit_time),
            _ => self.deliveries.front().map(|delivery| delivery.commit_time),
        }
    }

    pub(super) fn begin(
        &mut self,
        commit_lsn: Lsn,
        commit_time: Timestamp,
        xid: u32,
        now: Duration,
    ) -> Result<(), Disorder> {
        if self.open.is_some() {
            return Err(Disorder("a transaction began inside another"));
        }
        self.open = Some(Open {
            commit_lsn,
            xid,
            commit_time,
            next_index: 0,
            count: 0,
            bytes: 0,
            since: now,
            requests: VecDeque::new(),
            names_too_many: false,
            names_nonsense: false,
        });
        Ok(())
    }

    /// Counts one message of the open transaction: its position, and its transaction's id.
    pub(super) fn next_position(&mut self) -> Result<(Position, u32), Disorder> {
        let open = self
            .open
            .as_mut()
            .ok_or(Disorder("a row came outside a transaction"))?;
        let position = Position {
            commit_lsn: open.commit_lsn,
            index: open.next_index,
        };
        open.next_index = open
            .next_index
            .checked_add(1)
            .ok_or(Disorder("a transaction has more than 2^32 messages"))?;
        Ok((position, open.xid))
    }

    /// Keeps the row for publishing; it must belong to the position just counted.
    pub(super) fn push(&mut self, position: Position, row: OutboxRow) -> Result<(), Disorder> {
        let open = self
            .open
            .as_mut()
            .ok_or(Disorder("a row came outside a transaction"))?;
        let bytes = row.memory_bytes();
        self.deliveries.push_back(Delivery {
            position,
            xid: open.xid,
            commit_time: open.commit_time,
            row,
            replay: None,
        });
        open.count += 1;
        open.bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// Notes what an operator asks for in the open transaction; true when that is the first of what it names
    /// too much.
    pub(super) fn request(&mut self, id: RequestId) -> Result<bool, Disorder> {
        let outside = Disorder("a logical message came outside a transaction");
        let open = self.open.as_mut().ok_or(outside)?;
        if open.requests.contains(&id) {
            return Ok(false);
        }
        if open.requests.len() < REQUESTS_MAX {
            open.requests.push_back(id);
            return Ok(false);
        }
        Ok(!std::mem::replace(&mut open.names_too_many, true))
    }

    /// True for the first nonsense of the open transaction.
    pub(super) fn nonsense(&mut self) -> bool {
        let open = self.open.as_mut();
        open.is_none_or(|open| !std::mem::replace(&mut open.names_nonsense, true))
    }

    /// What an operator asks for in the open transaction: it stands behind its messages.
    pub(super) fn requested(&self) -> Option<PendingRequest> {
        let open = self.open.as_ref()?;
        let mut others = open.requests.clone();
        Some(PendingRequest {
            id: others.pop_front()?,
            others,
            position: Position {
                commit_lsn: open.commit_lsn,
                index: open.next_index,
            },
            xid: open.xid,
            commit_time: open.commit_time,
            end: Frontier::at(open.commit_lsn),
            done: 0,
        })
    }

    /// The open transaction is complete. Of what an operator asks for in it, `request` is what is
    /// still to be done.
    pub(super) fn commit(
        &mut self,
        commit_lsn: Lsn,
        end_lsn: Lsn,
        request: Option<PendingRequest>,
    ) -> Result<(), Disorder> {
        let open = self
            .open
            .take()
            .ok_or(Disorder("a commit came outside a transaction"))?;
        if open.commit_lsn != commit_lsn {
            return Err(Disorder(
                "a commit belongs to another transaction than its begin",
            ));
        }
        if open.count > 0 {
            let end = request.as_ref().map(PendingRequest::start);
            self.complete.push_back(Complete::Transaction(Transaction {
                count: open.count,
                bytes: open.bytes,
                end: end.unwrap_or(Frontier::at(end_lsn)),
            }));
        }
        if let Some(request) = request {
            self.requests += 1;
            self.bytes += REQUEST_BYTES;
            self.complete.push_back(Complete::Request(request));
        }
        self.pass(end_lsn);
        Ok(())
    }

    /// Nothing of ours lies before `end` but what has arrived: the frontier after the last
    /// complete transaction may go that far.
    pub(super) fn pass(&mut self, end: Lsn) {
        let last = match self.complete.back_mut() {
            Some(Complete::Transaction(transaction)) => &mut transaction.end,
            Some(Complete::Request(request)) => &mut request.end,
            None => return,
        };
        *last = Frontier::at(end).max(*last);
    }

    /// What the sink gets next: whole transactions while they fit, else the first part of one.
    ///
    /// A part is only cut from a transaction that is larger than a batch (or than the buffer), or
    /// whose rest does not come for `transaction_max`.
    pub(super) fn take(
        &mut self,
        limits: &BatchLimits,
        buffer_bytes_max: usize,
        now: Duration,
    ) -> Option<Taken> {
        self.take_whole(limits)
            .or_else(|| self.take_part(limits, buffer_bytes_max, now))
    }

    fn take_whole(&mut self, limits: &BatchLimits) -> Option<Taken> {
        let (mut count, mut bytes, mut end) = (0, 0, None);
        while let Some(Complete::Transaction(next)) = self.complete.front() {
            let fits =
                count + next.count <= limits.messages_max && bytes + next.bytes <= limits.bytes_max;
            if !fits {
                break;
            }
            (count, bytes, end) = (count + next.count, bytes + next.bytes, Some(next.end));
            self.complete.pop_front();
        }
        let frontier = end?;
        self.bytes -= bytes;
        Some(Taken {
            messages: self.deliveries.drain(..count).collect(),
            frontier,
        })
    }

    fn take_part(
        &mut self,
        limits: &BatchLimits,
        buffer_bytes_max: usize,
        now: Duration,
    ) -> Option<Taken> {
        let available = match (self.complete.front(), &self.open) {
            (Some(Complete::Transaction(oversized)), _) => oversized.count,
            (Some(Complete::Request(_)), _) => return None,
            (None, Some(open)) => {
                let oversized = open.count >= limits.messages_max
                    || open.bytes >= limits.bytes_max
                    || self.bytes >= buffer_bytes_max
                    || now.saturating_sub(open.since) >= limits.transaction_max;
                if !oversized {
                    return None;
                }
                open.count
            }
            (None, None) => return None,
        };
        let (mut count, mut bytes) = (0_usize, 0_usize);
        for delivery in self
            .deliveries
            .iter()
            .take(available.min(limits.messages_max))
        {
            let size = delivery.row.memory_bytes();
            if count > 0 && bytes + size > limits.bytes_max {
                break;
            }
            (count, bytes) = (count + 1, bytes + size);
        }
        let mut frontier = {
            let last = self.deliveries.get(count.checked_sub(1)?)?.position;
            Frontier::inside(last.commit_lsn, last.index.checked_add(1)?)
        };
        if let Some(Complete::Transaction(first)) = self.complete.front_mut() {
            first.count -= count;
            first.bytes -= bytes;
            if first.count == 0 {
                frontier = first.end;
                self.complete.pop_front();
            }
        } else if let Some(open) = &mut self.open {
            open.count -= count;
            open.bytes -= bytes;
        }
        self.bytes -= bytes;
        Some(Taken {
            messages: self.deliveries.drain(..count).collect(),
            frontier,
        })
    }

    /// What an operator asked for, once everything before it was taken.
    pub(super) fn take_request(&mut self) -> Option<PendingRequest> {
        let next = self
            .complete
            .pop_front_if(|next| matches!(next, Complete::Request(_)))?;
        let Complete::Request(request) = next else {
            return None;
        };
        self.requests -= 1;
        self.bytes -= REQUEST_BYTES;
        Some(request)
    }

    /// When the open transaction may be cut because its rest does not come.
    pub(super) fn cut_at(&self, limits: &BatchLimits) -> Option<Duration> {
        self.open
            .as_ref()
            .filter(|open| open.count > 0 && self.complete.is_empty())
            .map(|open| open.since + limits.transaction_max)
    }
}
