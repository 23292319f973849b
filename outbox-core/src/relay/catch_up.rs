use super::pending_request::PendingRequest;
use crate::checkpoint::LastHandled;
use crate::{Frontier, Lsn, MessageId, Position};

/// Watches the stream until it has passed the checkpoint's frontier.
///
/// A log that was set back and written anew (a disk snapshot put back: same cluster, same
/// timeline) shows only here: the last message we handled must come again, and nothing else of
/// ours may stand between it and the frontier.
#[derive(Debug)]
pub(super) struct CatchUp {
    frontier: Frontier,
    last: Option<LastHandled>,
    /// `last` lies where the slot sends from, and has not come yet.
    expects_last: bool,
    passed: bool,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Publish it.
    New,
    /// It is durable already.
    Known,
}

impl CatchUp {
    pub(super) fn new(frontier: Frontier, last: Option<LastHandled>, confirmed_flush: Lsn) -> Self {
        // The server skips exactly what committed before the confirmed position.
        let expects_last = last.is_some_and(|last| confirmed_flush <= last.commit_lsn);
        Self {
            frontier,
            last,
            expects_last,
            passed: !expects_last && Frontier::at(confirmed_flush) >= frontier,
        }
    }

    /// Whether the stream has passed the frontier, so that positions may be confirmed again.
    pub(super) const fn has_passed(&self) -> bool {
        self.passed
    }

    /// A transaction of any kind begins at `commit_lsn`: everything before has been sent.
    pub(super) fn begin(&self, commit_lsn: Lsn) -> Result<(), String> {
        match self.last {
            Some(last) if self.expects_last && commit_lsn > last.commit_lsn => {
                Err(self.missing(&last))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn message(
        &mut self,
        position: Position,
        xid: u32,
        id: MessageId,
    ) -> Result<Verdict, String> {
        if self.passed {
            return Ok(Verdict::New);
        }
        if !self.frontier.covers(position) {
            self.pass()?;
            return Ok(Verdict::New);
        }
        match self.last {
            Some(last) if position == last.position() => {
                if (xid, id) != (last.xid, last.message_id) {
                    return Err(format!(
                        "at {position} the log has message {id} of transaction {xid}, the \
                         checkpoint has message {} of transaction {}",
                        last.message_id, last.xid
                    ));
                }
                self.expects_last = false;
                Ok(Verdict::Known)
            }
            Some(last) if position < last.position() => Ok(Verdict::Known),
            _ => Err(format!(
                "message {id} of transaction {xid} stands at {position}, where the checkpoint \
                 (frontier {}) knows of none",
                self.frontier
            )),
        }
    }

    /// What is left of a request: `None` when it was handled before.
    pub(super) fn request(
        &mut self,
        mut request: PendingRequest,
    ) -> Result<Option<PendingRequest>, String> {
        let position = request.position;
        if self.passed {
            return Ok(Some(request));
        }
        if !self.frontier.covers(position) {
            self.pass()?;
            return Ok(Some(request));
        }
        match self.last {
            Some(last)
                if last.commit_lsn == position.commit_lsn && last.index >= position.index =>
            {
                let named = request.id;
                if request.xid != last.xid || !request.turn_to(last.message_id) {
                    return Err(format!(
                        "at {position} the log has request {named} of transaction {}, the checkpoint \
                         has {} of transaction {}",
                        request.xid, last.message_id, last.xid
                    ));
                }
                self.expects_last = false;
                if self.frontier.lsn > position.commit_lsn {
                    return Ok(None);
                }
                let done = self.frontier.index - position.index;
                self.pass()?;
                Ok(Some(PendingRequest { done, ..request }))
            }
            Some(last) if position < last.position() => Ok(None),
            _ => Err(format!(
                "request {} stands at {position}, where the checkpoint (frontier {}) knows of none",
                request.id, self.frontier
            )),
        }
    }

    /// Everything that committed before `end` has been sent.
    pub(super) fn reached(&mut self, end: Lsn) -> Result<(), String> {
        if self.passed {
            return Ok(());
        }
        if let Some(last) = self
            .last
            .filter(|last| self.expects_last && end > last.commit_lsn)
        {
            return Err(self.missing(&last));
        }
        if Frontier::at(end) >= self.frontier {
            self.pass()
        } else {
            Ok(())
        }
    }

    fn pass(&mut self) -> Result<(), String> {
        match self.last {
            Some(last) if self.expects_last => Err(self.missing(&last)),
            _ => {
                self.passed = true;
                Ok(())
            }
        }
    }

    fn missing(&self, last: &LastHandled) -> String {
        format!(
            "message {} of transaction {} at {}, the last that was published, did not come again",
            last.message_id,
            last.xid,
            last.position()
        )
    }
}
