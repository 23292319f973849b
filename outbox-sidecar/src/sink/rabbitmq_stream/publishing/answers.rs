//! What the broker says while a batch is on its way.

use super::super::asking::Halt;
use super::super::checkpoint_copies;
use super::super::suspects::Suspect;
use super::super::wire::{Code, Incoming};
use super::Work;

impl Work<'_> {
    pub(super) fn take_in(&mut self, event: Incoming) -> Result<(), Halt> {
        match event {
            Incoming::Confirmed { publisher, ids } if checkpoint_copies::is_writer(publisher) => {
                self.copies.confirmed(ids.len() / size_of::<u64>());
                Ok(())
            }
            Incoming::Refused { publisher, .. } if checkpoint_copies::is_writer(publisher) => {
                let stream = &self.settings.checkpoint_stream;
                Err(Halt::Lost(format!(
                    "stream {stream:?} refused a copy of the checkpoint"
                )))
            }
            Incoming::Confirmed { publisher, ids } => Ok(self.lanes.confirm(publisher, ids)?),
            Incoming::Refused { publisher, errors } => Err(self.refused(publisher, &errors)),
            Incoming::StreamChanged { stream } => Err(Halt::Lost(format!(
                "stream {stream:?} was deleted, or its leader has moved"
            ))),
            // Nobody has subscribed to anything on this connection.
            Incoming::Delivered { .. }
            | Incoming::Answer { .. }
            | Incoming::Tune { .. }
            | Incoming::Heartbeat
            | Incoming::Close { .. } => Ok(()),
        }
    }

    /// Messages that were sent are not taken: nothing more is sent until the broker has said what
    /// it has.
    fn refused(&mut self, publisher: u8, errors: &[(u64, u16)]) -> Halt {
        let Some(lane) = self.lanes.lane(publisher) else {
            return Halt::Lost(
                "the broker refused messages of a publisher that is none".to_owned(),
            );
        };
        let Some((id, code)) = lane.lowest_open(errors) else {
            return Halt::Lost("the broker refused messages that are not on their way".to_owned());
        };
        let (stream, reference, code) = (&lane.stream, lane.reference, Code(code));
        let position = reference.position(id);
        let suspect = Suspect {
            reference,
            id,
            code,
        };
        self.suspects.add(stream, suspect);
        Halt::Lost(format!(
            "stream {stream:?} refused the message at {position}: {code}"
        ))
    }
}
