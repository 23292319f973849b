//! Which streams a destination stands for.

use std::collections::HashMap;

use bytestring::ByteString;
use outbox_core::OutboxRow;
use outbox_core::sink::RefusalReason;

use super::asking::{Asking, Halt, Refused};
use super::hash::partition_of;
use super::wire::{Code, Request, code, partitions};

/// AMQP's limit for the name of a queue, which a stream is.
const NAME_BYTES_MAX: usize = 255;

/// Where the messages of a destination go.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Into the stream of that name.
    Stream(ByteString),
    /// Into one of a super stream's partitions, by their key.
    Partitions(Vec<ByteString>),
}

impl Target {
    /// The stream of a row. Without a key its id decides: it must be the same one each time.
    pub(super) fn stream(&self, row: &OutboxRow) -> Option<ByteString> {
        match self {
            Self::Stream(stream) => Some(stream.clone()),
            Self::Partitions(partitions) => {
                let mut id = [0; 36];
                let key = row.key.as_deref();
                let key = key.unwrap_or_else(|| row.id.encode(&mut id));
                let place = partition_of(key, partitions.len())?;
                partitions.get(place).cloned()
            }
        }
    }
}

/// What is known of destinations, until the connection ends.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    known: HashMap<ByteString, Target>,
    refused: HashMap<ByteString, Refused>,
}

impl Destinations {
    /// Those that were refused are looked at again: the operator may have made them.
    pub(super) fn begin_batch(&mut self) {
        self.refused.clear();
    }

    /// Where a destination's messages go, or why nowhere: the same answer throughout a batch.
    pub(super) async fn look_up(
        &mut self,
        asking: &mut Asking<'_>,
        name: &ByteString,
        create: bool,
    ) -> Result<Result<&Target, Refused>, Halt> {
        if let Some(refused) = self.refused.get(name) {
            return Ok(Err(refused.clone()));
        }
        if !self.known.contains_key(name) {
            match find(asking, name, create).await? {
                Ok(target) => drop(self.known.insert(name.clone(), target)),
                Err(refused) => {
                    self.refused.insert(name.clone(), refused.clone());
                    return Ok(Err(refused));
                }
            }
        }
        let known = self.known.get(name);
        let lost = || Halt::Lost(format!("destination {name:?} was forgotten at once"));
        known.map(Ok).ok_or_else(lost)
    }
}

async fn find(
    asking: &mut Asking<'_>,
    name: &ByteString,
    create: bool,
) -> Result<Result<Target, Refused>, Halt> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let text = format!(
            "a stream's name has 1 to {NAME_BYTES_MAX} bytes, not {}",
            name.len()
        );
        return Ok(Err((RefusalReason::DestinationInvalid, text)));
    }
    if asking.exists(name).await? {
        return Ok(Ok(Target::Stream(name.clone())));
    }
    let doing = format!("looking for super stream {name:?}");
    let body = asking.ask(&Request::partitions(name), &doing).await?;
    let (found, streams) = partitions(body)?;
    if found == Code::OK && !streams.is_empty() {
        let streams = streams.into_iter().map(ByteString::from).collect();
        return Ok(Ok(Target::Partitions(streams)));
    }
    if !create {
        let text = format!(
            "there is no stream and no super stream {name:?}: create it (a queue may have the name), \
             or set rabbitmq_stream.create_streams"
        );
        return Ok(Err((RefusalReason::DestinationMissing, text)));
    }
    make(asking, name).await
}

async fn make(asking: &mut Asking<'_>, name: &ByteString) -> Result<Result<Target, Refused>, Halt> {
    let doing = format!("making stream {name:?}");
    let body = asking.ask(&Request::create(name), &doing).await?;
    match code(&body)? {
        Code::OK | Code::STREAM_EXISTS => {}
        refused @ Code::ACCESS_REFUSED => {
            let text = format!("{doing}: {refused}: give the user the right to configure it");
            return Ok(Err((RefusalReason::NotAuthorised, text)));
        }
        refused @ Code::PRECONDITION_FAILED => {
            let text = format!("{doing}: {refused}: the name, or a queue that has it");
            return Ok(Err((RefusalReason::DestinationInvalid, text)));
        }
        other => return Err(Halt::Lost(format!("{doing}: {other}"))),
    }
    if asking.exists(name).await? {
        return Ok(Ok(Target::Stream(name.clone())));
    }
    let text = format!("{doing}: a queue has that name, and it is no stream");
    Ok(Err((RefusalReason::DestinationInvalid, text)))
}
