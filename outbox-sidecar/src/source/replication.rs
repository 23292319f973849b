//! The replication protocol: commands, the copy in both directions, and the thread that reads.

mod commands;
mod copy_both;
mod framing;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod interruption;
mod lane;
mod pacing;
mod silence;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use commands::{IdentifiedSystem, Replication};
pub(crate) use lane::{LaneSettings, ReplicationLane, no_thread};
