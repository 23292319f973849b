//! What the broker shows, put by for comparing.

use std::path::Path;

use outbox_core::Lsn;

use super::content::{Content, KeyText};
use super::digest::Digester;
use super::error::VerifyError;
use super::join::hash;
use super::position_range::PositionRange;
use super::progress::Progress;
use super::record::{MessageRecord, OrderRecord};
use super::spill::Spill;
use super::window::Window;
use crate::sink::published::Published;

/// Messages that were read back.
pub(super) struct Gathered {
    pub(super) messages: Spill<MessageRecord>,
    pub(super) order: Spill<OrderRecord>,
    /// Messages without an id of ours.
    pub(super) foreign: u64,
}

/// Which messages must have a row, if they are of this table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) window: Window,
    pub(super) positions: PositionRange,
    /// Committed behind it, a row may be too new to have been read.
    pub(super) before: Lsn,
}

impl Gathered {
    pub(super) fn new(directory: &Path) -> Result<Self, VerifyError> {
        Ok(Self {
            messages: Spill::new(directory)?,
            order: Spill::new(directory)?,
            foreign: 0,
        })
    }

    /// Puts a message by.
    pub(super) fn put(
        &mut self,
        message: &Published<'_>,
        destination: u32,
        due: &Due,
        digester: &Digester,
        progress: &Progress,
    ) -> Result<(), VerifyError> {
        let Some(id) = message.id else {
            self.foreign += 1;
            return Ok(());
        };
        progress.message();
        let is_old = |(_, position): (_, outbox_core::Position)| {
            position.commit_lsn < due.before && due.positions.contains(position)
        };
        let within = |time| due.window.contains(time);
        let record = MessageRecord {
            id,
            content: Content::of_message(message, destination, digester),
            key_text: KeyText::new(message.key),
            position: message.position,
            sequence: self.messages.records(),
            partition: message.partition,
            offset: message.offset,
            replay: message.replay,
            is_redelivery: message.is_redelivery,
            is_due: message.position.is_none_or(is_old) && message.created_at.is_none_or(within),
        };
        self.messages.push(hash(digester, &id), &record)?;
        if let Some(((_, position), _)) = message.position.zip(message.key) {
            let key = record.content.key;
            let order = OrderRecord {
                sequence: record.sequence,
                id,
                key,
                destination,
                partition: record.partition,
                position,
            };
            self.order.push(key, &order)?;
        }
        Ok(())
    }

    /// Nothing more will come.
    pub(super) fn finish(&mut self) -> Result<(), VerifyError> {
        self.messages.finish()?;
        self.order.finish()?;
        Ok(())
    }
}
