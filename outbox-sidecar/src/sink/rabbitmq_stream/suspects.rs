//! Messages that a broker refused after they were sent: nothing later may have got in.

use std::collections::HashMap;

use bytestring::ByteString;
use outbox_core::Frontier;

use super::publishing_id::Reference;
use super::wire::Code;

/// A message that was sent and refused.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    pub(super) reference: Reference,
    pub(super) id: u64,
    /// What was said of it.
    pub(super) code: Code,
}

impl Suspect {
    /// Later messages are in the stream: sent again, this one would be dropped as known.
    pub(super) fn overtaken(&self, stream: &str, last: u64) -> String {
        let (missing, last) = (
            self.reference.position(self.id),
            self.reference.position(last),
        );
        format!(
            "the message at {missing} (publishing id {}) is missing in stream {stream:?}: the \
             broker refused it ({}) and took later ones, up to {last}. Under its id it cannot be \
             published any more: publish it by hand, or create the stream anew",
            self.id, self.code
        )
    }
}

/// The first message of each stream that was refused after it was sent and that no checkpoint covers,
/// over all connections and takings-over.
#[derive(Debug, Default)]
pub(super) struct Suspects(HashMap<ByteString, Suspect>);

impl Suspects {
    pub(super) fn add(&mut self, stream: &ByteString, suspect: Suspect) {
        match self.0.get_mut(stream) {
            // The earlier one decides.
            Some(known) if known.reference == suspect.reference => {
                if suspect.id < known.id {
                    *known = suspect;
                }
            }
            Some(_) => {}
            None => drop(self.0.insert(stream.clone(), suspect)),
        }
    }

    /// What a checkpoint covers was published or decided about since, by this relay or by one that
    /// took over meanwhile: later messages behind it are as they should be.
    pub(super) fn drop_covered(&mut self, frontier: Frontier) {
        self.0
            .retain(|_, suspect| !frontier.covers(suspect.reference.position(suspect.id)));
    }

    pub(super) fn of(&self, stream: &str) -> Option<Suspect> {
        self.0.get(stream).cloned()
    }

    pub(super) fn clear(&mut self, stream: &str) {
        self.0.remove(stream);
    }
}
