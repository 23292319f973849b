//! The replication protocol: commands, the copy in both directions, and the thread that reads.

mod commands;
mod copy_both;
mod lane;
mod pacing;
mod status;

pub(crate) use commands::{IdentifiedSystem, Replication};
pub(crate) use lane::{LaneSettings, ReplicationLane, no_thread};
