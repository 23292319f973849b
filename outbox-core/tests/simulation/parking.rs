//! The table of messages that are set aside.

use std::collections::BTreeMap;

use outbox_core::relay::{
    BlockedKey, Claim, FailureKind, ParkedEarlier, ParkedMessage, SourceFailure, UncoveredRow,
};
use outbox_core::{Frontier, Position};

use super::log::{Log, Parked, key, message_id};
use super::server::{Server, failure};
use super::world::World;

impl World {
    /// The statement that sets messages aside, as the server carries it out.
    pub(crate) fn park(
        &mut self,
        server: usize,
        claim: Claim,
        messages: &[ParkedMessage],
    ) -> Result<u64, SourceFailure> {
        let server = &self.servers[server];
        let log = self.logs.get_mut(server.log);
        server.require(claim)?;
        let differs = |message: &ParkedMessage| {
            let known = log.parked_at(message.delivery.position);
            known.is_some_and(|known| message_id(known.row) != message.delivery.row.id)
        };
        if messages.iter().any(differs) {
            return Err(failure(FailureKind::ParkedDiffers));
        }
        let new = |message: &&ParkedMessage| log.parked_at(message.delivery.position).is_none();
        let new: Vec<_> = messages.iter().filter(new).collect();
        log.end += 64;
        log.stuck_writes.push(log.end);
        let parked = new.iter().map(|message| Parked {
            write: log.writes(),
            position: message.delivery.position,
            row: row_of(message),
            blocks_key: message.blocks_key,
        });
        log.parked.extend(parked.collect::<Vec<_>>());
        Ok(log.writes())
    }

    /// Every row is visible or set aside.
    pub(crate) fn is_settled(&self, log: usize, row: u32) -> bool {
        let parked = &self.logs.get(log).parked;
        self.broker.sees(row) || parked.iter().any(|parked| parked.row == row)
    }
}

impl Server {
    /// Refuses whoever does not have the slot here, under the newest epoch.
    pub(crate) fn require(&self, claim: Claim) -> Result<(), SourceFailure> {
        let holder = self.holder().map(|sender| sender.pid);
        if (self.epoch, holder) == (claim.epoch, Some(claim.walsender_pid)) {
            Ok(())
        } else {
            Err(failure(FailureKind::ClaimSuperseded))
        }
    }
}

impl Log {
    pub(crate) fn parked_earlier(&self, frontier: Frontier) -> ParkedEarlier {
        let mut blocked: BTreeMap<&str, Position> = BTreeMap::new();
        for parked in self.parked.iter().filter(|parked| parked.blocks_key) {
            let from = blocked
                .entry(key(parked.row).unwrap_or(""))
                .or_insert(parked.position);
            *from = parked.position.min(*from);
        }
        ParkedEarlier {
            uncovered: self
                .parked
                .iter()
                .filter(|parked| !frontier.covers(parked.position))
                .map(|parked| UncoveredRow {
                    position: parked.position,
                    id: message_id(parked.row),
                })
                .collect(),
            blocked: blocked
                .into_iter()
                .map(|(key, from)| BlockedKey {
                    destination: "policy".into(),
                    key: key.into(),
                    from,
                })
                .collect(),
            writes: self.writes(),
        }
    }
}

fn row_of(message: &ParkedMessage) -> u32 {
    let bytes = message.delivery.row.id.as_bytes();
    u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])
}
