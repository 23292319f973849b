//! The stream protocol: what we send, what we understand, and nothing that trusts a length.
//!
//! A frame is its length in four bytes, the command's key and version, then the command. A request
//! carries a correlation, its answer too. Only what RabbitMQ 3.10 has is used.
//! <https://github.com/rabbitmq/rabbitmq-server/blob/main/deps/rabbitmq_stream/docs/PROTOCOL.adoc>

mod chunk;
mod frames;
mod incoming;
mod publish;
mod reading;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub(super) use chunk::{Chunk, Entry};
#[cfg(any(test, fuzzing))]
pub(super) use frames::READ_BYTES;
pub(super) use frames::{FrameError, FrameReader};
pub(super) use incoming::Incoming;
pub(super) use publish::PublishFrame;
pub(super) use reading::{Malformed, Reading};
pub(super) use request::{Request, Start, close_answer, credit, heartbeat, tune};
pub(super) use response::{
    Availability, Code, availability, code, partitions, properties, sequence,
};

/// Keys of commands.
mod key {
    pub(super) const DECLARE_PUBLISHER: u16 = 1;
    pub(super) const PUBLISH: u16 = 2;
    pub(super) const PUBLISH_CONFIRM: u16 = 3;
    pub(super) const PUBLISH_ERROR: u16 = 4;
    pub(super) const QUERY_PUBLISHER_SEQUENCE: u16 = 5;
    pub(super) const DELETE_PUBLISHER: u16 = 6;
    pub(super) const SUBSCRIBE: u16 = 7;
    pub(super) const DELIVER: u16 = 8;
    pub(super) const CREDIT: u16 = 9;
    pub(super) const UNSUBSCRIBE: u16 = 12;
    pub(super) const CREATE: u16 = 13;
    pub(super) const METADATA: u16 = 15;
    pub(super) const METADATA_UPDATE: u16 = 16;
    pub(super) const PEER_PROPERTIES: u16 = 17;
    pub(super) const SASL_HANDSHAKE: u16 = 18;
    pub(super) const SASL_AUTHENTICATE: u16 = 19;
    pub(super) const TUNE: u16 = 20;
    pub(super) const OPEN: u16 = 21;
    pub(super) const CLOSE: u16 = 22;
    pub(super) const HEARTBEAT: u16 = 23;
    pub(super) const PARTITIONS: u16 = 25;
    /// Set in the key of an answer, though not by every version for every command.
    pub(super) const ANSWER: u16 = 0x8000;
}

/// The only version of each of these commands.
const VERSION: u16 = 1;

fn header(key: u16) -> [u8; 4] {
    (u32::from(key) << 16 | u32::from(VERSION)).to_be_bytes()
}
