use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Checkpoint, LastHandled};
use crate::{Frontier, HistoryEntry, Lsn, MessageId, SystemId, TimelineId, Timestamp};

/// The version of the encoded form that this crate writes, and the only one it reads.
pub const FORMAT: u32 = 1;

/// The largest encoded checkpoint that is read: a real one has about one kilobyte.
const ENCODED_BYTES_MAX: usize = 256 * 1024;

/// Bytes that are not a checkpoint of this format.
#[derive(Debug, thiserror::Error)]
pub enum DecodeCheckpointError {
    /// Larger than any checkpoint.
    #[error("the record has {0} bytes, more than any checkpoint")]
    TooLarge(usize),
    /// Not the JSON of a checkpoint.
    #[error("the record is not a checkpoint")]
    Malformed(#[from] serde_json::Error),
    /// Altered after it was written.
    #[error("the record's checksum is {written}, its content has {computed}")]
    Checksum {
        /// The checksum in the record.
        written: String,
        /// The checksum of what the record holds.
        computed: String,
    },
    /// Written by a newer release.
    #[error("the record has format {0}, this release reads format {FORMAT}: upgrade the relay")]
    Format(u32),
    /// A field that is out of its range.
    #[error("the record's {field} cannot be read: {text:?}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What it holds.
        text: String,
    },
}

/// What is stored: the content word for word, so that the checksum covers bytes and not meaning.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    checksum: String,
    #[serde(borrow)]
    checkpoint: &'a RawValue,
}

/// 64-bit numbers are text: many JSON readers round them.
#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    version: String,
    relay: String,
    system_id: String,
    timeline: u32,
    timeline_start_lsns: Vec<(u32, String)>,
    frontier: Place,
    last: Option<Last>,
    stuck_writes: String,
    publication_fingerprint: String,
    sequence: u64,
    written_at_us: i64,
}

#[derive(Serialize, Deserialize)]
struct Place {
    lsn: String,
    index: u32,
}

#[derive(Serialize, Deserialize)]
struct Last {
    commit_lsn: String,
    xid: u32,
    commit_time_us: i64,
    index: u32,
    message_id: String,
}

impl Checkpoint {
    /// The checkpoint as bytes: JSON that a person can read, with a CRC-32C over its content.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "strings and numbers always serialise to JSON"
    )]
    pub fn encode(&self) -> Vec<u8> {
        let content =
            serde_json::value::to_raw_value(&Content::from(self)).expect("a checkpoint serialises");
        let envelope = Envelope {
            checksum: checksum(&content),
            checkpoint: &content,
        };
        serde_json::to_vec(&envelope).expect("an envelope serialises")
    }

    /// Reads what [`Checkpoint::encode`] wrote.
    ///
    /// # Errors
    /// Anything else: altered, truncated, of another format. Nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeCheckpointError> {
        if bytes.len() > ENCODED_BYTES_MAX {
            return Err(DecodeCheckpointError::TooLarge(bytes.len()));
        }
        let envelope: Envelope<'_> = serde_json::from_slice(bytes)?;
        let computed = checksum(envelope.checkpoint);
        if computed != envelope.checksum {
            return Err(DecodeCheckpointError::Checksum {
                written: envelope.checksum,
                computed,
            });
        }
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_str(envelope.checkpoint.get())?;
        if format != FORMAT {
            return Err(DecodeCheckpointError::Format(format));
        }
        serde_json::from_str::<Content>(envelope.checkpoint.get())?.try_into()
    }
}

fn checksum(content: &RawValue) -> String {
    format!("{:08x}", crc32c::crc32c(content.get().as_bytes()))
}

/// A text of JSON in an envelope that it fits, whatever it says.
#[cfg(any(test, fuzzing))]
pub(crate) fn sealed(content: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(content).ok()?;
    let content = RawValue::from_string(text.to_owned()).ok()?;
    let envelope = Envelope {
        checksum: checksum(&content),
        checkpoint: &content,
    };
    serde_json::to_vec(&envelope).ok()
}

fn field<T: FromStr>(field: &'static str, text: String) -> Result<T, DecodeCheckpointError> {
    text.parse()
        .map_err(|_| DecodeCheckpointError::Field { field, text })
}

impl From<&Checkpoint> for Content {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            relay: checkpoint.relay.clone(),
            system_id: checkpoint.system_id.to_string(),
            timeline: checkpoint.timeline.0,
            timeline_start_lsns: checkpoint
                .timeline_history
                .entries()
                .iter()
                .map(|entry| (entry.timeline.0, entry.switch_point.to_string()))
                .collect(),
            frontier: Place {
                lsn: checkpoint.frontier.lsn.to_string(),
                index: checkpoint.frontier.index,
            },
            last: checkpoint.last.map(|last| Last {
                commit_lsn: last.commit_lsn.to_string(),
                xid: last.xid,
                commit_time_us: last.commit_time.as_unix_us(),
                index: last.index,
                message_id: last.message_id.to_string(),
            }),
            stuck_writes: checkpoint.stuck_writes.to_string(),
            publication_fingerprint: checkpoint.publication_fingerprint.clone(),
            sequence: checkpoint.sequence,
            written_at_us: checkpoint.written_at.as_unix_us(),
        }
    }
}

impl TryFrom<Content> for Checkpoint {
    type Error = DecodeCheckpointError;

    fn try_from(content: Content) -> Result<Self, Self::Error> {
        let lsn = |text| field::<Lsn>("lsn", text);
        let message_id = |text| field::<MessageId>("message_id", text);
        Ok(Self {
            relay: content.relay,
            system_id: SystemId(field("system_id", content.system_id)?),
            timeline: TimelineId(content.timeline),
            timeline_history: content
                .timeline_start_lsns
                .into_iter()
                .map(|(timeline, text)| {
                    Ok(HistoryEntry {
                        timeline: TimelineId(timeline),
                        switch_point: lsn(text)?,
                    })
                })
                .collect::<Result<_, DecodeCheckpointError>>()?,
            frontier: Frontier {
                lsn: lsn(content.frontier.lsn)?,
                index: content.frontier.index,
            },
            last: content
                .last
                .map(|last| {
                    Ok::<_, DecodeCheckpointError>(LastHandled {
                        commit_lsn: lsn(last.commit_lsn)?,
                        xid: last.xid,
                        commit_time: Timestamp::from_unix_us(last.commit_time_us),
                        index: last.index,
                        message_id: message_id(last.message_id)?,
                    })
                })
                .transpose()?,
            stuck_writes: field("stuck_writes", content.stuck_writes)?,
            publication_fingerprint: content.publication_fingerprint,
            sequence: content.sequence,
            written_at: Timestamp::from_unix_us(content.written_at_us),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TimelineHistory;

    prop_compose! {
        fn any_checkpoint()(
            lsn in any::<u64>(), index in any::<u32>(), xid in any::<u32>(), time in any::<i64>(),
            id in any::<[u8; 16]>(), system in any::<u64>(), sequence in any::<u64>(),
            has_last in any::<bool>(), relay in "\\PC{0,20}",
        ) -> Checkpoint {
            let last = LastHandled {
                commit_lsn: Lsn::new(lsn), xid, commit_time: Timestamp::from_unix_us(time), index,
                message_id: MessageId::from_bytes(id),
            };
            Checkpoint {
                relay,
                system_id: SystemId(system),
                timeline: TimelineId(3),
                timeline_history: TimelineHistory::parse("1 0/10 x\n2 0/20 y").unwrap(),
                frontier: Frontier { lsn: Lsn::new(lsn), index },
                last: has_last.then_some(last),
                stuck_writes: lsn,
                publication_fingerprint: "abc".into(),
                sequence,
                written_at: Timestamp::from_unix_us(time),
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(checkpoint in any_checkpoint()) {
            prop_assert_eq!(Checkpoint::decode(&checkpoint.encode()).unwrap(), checkpoint);
        }

        #[test]
        fn no_altered_byte_goes_unnoticed(
            checkpoint in any_checkpoint(), at in any::<prop::sample::Index>(), bit in 0u32..8,
        ) {
            let mut bytes = checkpoint.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            // White space between the envelope's members carries no meaning; nothing else may pass.
            if let Ok(decoded) = Checkpoint::decode(&bytes) {
                prop_assert_eq!(decoded, checkpoint);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Checkpoint::decode(&bytes).is_err());
        }
    }

    /// A checksum that fits does not make the content one that can be trusted.
    #[test]
    fn checkpoints_with_seeded_mutations_are_decoded_or_refused() {
        let content = [
            r#"{"format":1,"relay":"policy","system_id":"7","timeline":3,"frontier":"0/10:2"}"#,
            r#"{"format":2,"news":[[[[1e400]]]]}"#,
        ];
        let checkpoint = Checkpoint {
            relay: "policy".into(),
            system_id: SystemId(7),
            timeline: TimelineId(3),
            timeline_history: TimelineHistory::parse("1 0/10 x\n2 0/20 y").unwrap(),
            frontier: Frontier {
                lsn: Lsn::new(5),
                index: 1,
            },
            last: None,
            stuck_writes: 5,
            publication_fingerprint: "abc".into(),
            sequence: 9,
            written_at: Timestamp::from_unix_us(1),
        };
        let whole = checkpoint.encode();
        let text = String::from_utf8(whole.clone()).unwrap();
        let inner = serde_json::from_str::<Envelope<'_>>(&text).unwrap();
        let inner = inner.checkpoint.get().as_bytes().to_vec();
        let corpus = [whole, inner, content[0].into(), content[1].into()];
        testbed::mutation::replay("checkpoint", &corpus, crate::fuzzing::checkpoint);
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let bytes = sealed(br#"{"format":2,"news":1}"#).unwrap();
        let error = Checkpoint::decode(&bytes).unwrap_err();
        assert!(matches!(error, DecodeCheckpointError::Format(2)), "{error}");
    }
}
