use bytes::Bytes;

use super::{Malformed, Reading, VERSION, key};

const ID_BYTES: usize = 8;
const ERROR_BYTES: usize = 10;

/// What a broker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Incoming {
    /// Messages are durable.
    Confirmed {
        publisher: u8,
        /// Their ids, each of eight bytes.
        ids: Bytes,
    },
    /// Messages were not taken.
    Refused {
        publisher: u8,
        /// Each with the reason's code.
        errors: Vec<(u64, u16)>,
    },
    /// Part of a stream that was subscribed to.
    Delivered {
        subscription: u8,
        /// A chunk of it, as the broker stores it.
        chunk: Bytes,
    },
    /// A stream has gone, or its leader has moved.
    StreamChanged { stream: String },
    /// What a request comes to.
    Answer {
        key: u16,
        correlation: u32,
        /// Its code, and what follows.
        body: Bytes,
    },
    /// What the broker proposes for the connection.
    Tune {
        frame_bytes_max: u32,
        heartbeat_s: u32,
    },
    /// It lives.
    Heartbeat,
    /// It wants to end the connection.
    Close {
        correlation: u32,
        code: u16,
        reason: String,
    },
}

impl Incoming {
    /// What it takes in memory, about.
    pub(in super::super) fn bytes(&self) -> usize {
        let more = match self {
            Self::Confirmed { ids, .. } => ids.len(),
            Self::Refused { errors, .. } => size_of_val(errors.as_slice()),
            Self::Delivered { chunk, .. } => chunk.len(),
            Self::StreamChanged { stream } => stream.len(),
            Self::Answer { body, .. } => body.len(),
            Self::Close { reason, .. } => reason.len(),
            Self::Tune { .. } | Self::Heartbeat => 0,
        };
        size_of::<Self>() + more
    }

    /// Reads a frame.
    pub(in super::super) fn decode(frame: Bytes) -> Result<Self, Malformed> {
        let mut reading = Reading::new(frame);
        let (key, version) = (reading.u16()?, reading.u16()?);
        if version != VERSION {
            return Err(Malformed(format!("command {key} in version {version}")));
        }
        let is_answer = key & key::ANSWER != 0;
        match key & !key::ANSWER {
            key::PUBLISH_CONFIRM => {
                let publisher = reading.u8()?;
                let count = reading.count(ID_BYTES)?;
                let ids = reading.members(count, ID_BYTES)?;
                Ok(Self::Confirmed { publisher, ids })
            }
            key::PUBLISH_ERROR => {
                let publisher = reading.u8()?;
                let count = reading.count(ERROR_BYTES)?;
                let error = |_| Ok((reading.u64()?, reading.u16()?));
                let errors = (0..count).map(error).collect::<Result<_, Malformed>>()?;
                Ok(Self::Refused { publisher, errors })
            }
            key::DELIVER => Ok(Self::Delivered {
                subscription: reading.u8()?,
                chunk: reading.rest(),
            }),
            key::METADATA_UPDATE => {
                let _code = reading.u16()?;
                let stream = reading.text()?;
                Ok(Self::StreamChanged { stream })
            }
            key::HEARTBEAT => Ok(Self::Heartbeat),
            key::TUNE => Ok(Self::Tune {
                frame_bytes_max: reading.u32()?,
                heartbeat_s: reading.u32()?,
            }),
            key::CLOSE if !is_answer => Ok(Self::Close {
                correlation: reading.u32()?,
                code: reading.u16()?,
                reason: reading.text()?,
            }),
            // 3.10 answers PARTITIONS without the mark of an answer.
            answered @ (key::DECLARE_PUBLISHER
            | key::QUERY_PUBLISHER_SEQUENCE
            | key::DELETE_PUBLISHER
            | key::SUBSCRIBE
            | key::UNSUBSCRIBE
            | key::CREATE
            | key::METADATA
            | key::PEER_PROPERTIES
            | key::SASL_HANDSHAKE
            | key::SASL_AUTHENTICATE
            | key::OPEN
            | key::CLOSE
            | key::PARTITIONS) => Ok(Self::Answer {
                key: answered,
                correlation: reading.u32()?,
                body: reading.rest(),
            }),
            unknown => Err(Malformed(format!(
                "command {unknown}, which nobody asked for"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> Result<Incoming, Malformed> {
        Incoming::decode(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn confirms_and_errors_are_read() {
        let confirm = [0, 3, 0, 1, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
        let ids = Bytes::copy_from_slice(&9_u64.to_be_bytes());
        let publisher = 7;
        assert_eq!(decode(&confirm), Ok(Incoming::Confirmed { publisher, ids }));
        let error = [0, 4, 0, 1, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 18];
        let errors = vec![(9, 18)];
        assert_eq!(decode(&error), Ok(Incoming::Refused { publisher, errors }));
    }

    #[test]
    fn a_list_longer_than_its_frame_is_refused() {
        for key in [3, 4] {
            let frame = [0, key, 0, 1, 7, 255, 255, 255, 255, 0];
            assert!(decode(&frame).is_err());
        }
        let odd = [0, 3, 0, 1, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0];
        assert!(decode(&odd).is_err());
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        for frame in [[0, 8, 0, 1], [0, 99, 0, 1], [0, 23, 0, 2]] {
            assert!(decode(&frame).is_err(), "{frame:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), key in 0..32_u8) {
            let _ = decode(&bytes);
            let _ = decode(&[&[0, key, 0, 1], bytes.as_slice()].concat());
        }
    }
}
