use super::active::Active;
use super::buffer::{Buffer, Disorder};
use super::catch_up::{CatchUp, Verdict};
use super::core::{Core, Next};
use super::linger::Linger;
use super::{Notice, Stop, StreamEvent};
use crate::{Lsn, OutboxRow, RequestId};

/// What the replication stream has brought, and what of it is new.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) buffer: Buffer,
    pub(super) linger: Linger,
    pub(super) catch_up: CatchUp,
    /// The server has sent everything before.
    seen: Lsn,
    has_begun: bool,
}

impl Intake {
    pub(super) fn new(catch_up: CatchUp) -> Self {
        Self {
            buffer: Buffer::new(),
            linger: Linger::default(),
            catch_up,
            seen: Lsn::default(),
            has_begun: false,
        }
    }

    /// Whether the stream has said anything.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Takes in what the stream said. Returns how far the server is where it wants to hear from us.
    pub(super) fn take(
        &mut self,
        core: &mut Core,
        event: StreamEvent,
    ) -> Result<Option<Lsn>, Next> {
        self.has_begun = true;
        match event {
            StreamEvent::Begin {
                commit_lsn,
                commit_time,
                sent_at,
                xid,
            } => {
                self.catch_up.begin(commit_lsn).map_err(diverged)?;
                let now = core.now.monotonic;
                self.buffer.begin(commit_lsn, commit_time, xid, now)?;
                self.linger.arrived(sent_at.since(commit_time), now);
            }
            StreamEvent::Row(row) => self.row(row)?,
            StreamEvent::LogicalMessage { prefix, content } => {
                if *prefix == *core.request_prefix {
                    self.request(core, RequestId::read(&content))?;
                }
            }
            StreamEvent::Commit {
                commit_lsn,
                end_lsn,
            } => {
                let request = match self.buffer.requested() {
                    Some(request) => self.catch_up.request(request).map_err(diverged)?,
                    None => None,
                };
                self.buffer.commit(commit_lsn, end_lsn, request)?;
                self.reached(end_lsn)?;
            }
            StreamEvent::Keepalive {
                wal_end,
                reply_requested,
            } => {
                if !self.buffer.in_transaction() {
                    self.linger.end();
                    self.buffer.pass(wal_end);
                    self.reached(wal_end)?;
                }
                return Ok(reply_requested.then_some(wal_end));
            }
        }
        Ok(None)
    }

    /// Notes what the open transaction names; what is wrong with that is said once.
    fn request(&mut self, core: &mut Core, named: Option<RequestId>) -> Result<(), Next> {
        let notice = match named {
            Some(request) => {
                let is_dropped = self.buffer.request(request)?;
                is_dropped.then_some(Notice::RequestDropped { request })
            }
            None => self.buffer.nonsense().then_some(Notice::RequestUnreadable),
        };
        if let Some(notice) = notice {
            core.report(notice);
        }
        Ok(())
    }

    fn row(&mut self, row: OutboxRow) -> Result<(), Next> {
        let (position, xid) = self.buffer.next_position()?;
        match self
            .catch_up
            .message(position, xid, row.id)
            .map_err(diverged)?
        {
            Verdict::Known => {}
            Verdict::New => self.buffer.push(position, row)?,
        }
        Ok(())
    }

    fn reached(&mut self, end: Lsn) -> Result<(), Next> {
        self.seen = self.seen.max(end);
        self.catch_up.reached(end).map_err(diverged)
    }
}

impl Active {
    /// Takes in what the stream said; what follows from it is decided by [`Active::go_on`].
    pub(super) fn stream(&mut self, core: &mut Core, event: StreamEvent) -> Result<(), Next> {
        let asked = self.intake.take(core, event)?;
        self.progress.see(self.intake.seen);
        if let Some(wal_end) = asked {
            let behind = self.progress.frontier().lsn < wal_end;
            self.reply_wanted |= behind;
            if behind && self.shutdown.is_stopping(wal_end, core.now.monotonic) {
                return Err(core.server_stops("it waits for a confirmation"));
            }
        }
        Ok(())
    }

    /// What the stream said before is ours to go on with.
    pub(super) fn has_seen(mut self) -> Self {
        self.progress.see(self.intake.seen);
        self
    }
}

fn diverged(reason: String) -> Next {
    Next::Stop(Stop::Diverged(reason))
}

impl From<Disorder> for Next {
    fn from(disorder: Disorder) -> Self {
        Self::Stop(Stop::Protocol(disorder.0.to_owned()))
    }
}
