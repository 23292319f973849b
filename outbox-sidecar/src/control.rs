//! What the relay reads and writes by SQL, beside the replication stream.

mod checkpoint_row;
mod claim;
mod connection;
mod failure;
mod gauges;
mod lane;
mod lock_holders;
mod parked;
mod relay_row;
mod requests;
mod starts;
#[cfg(test)]
mod stuck_database;
mod stuck_rows;
mod stuck_statement;
mod timestamptz;
mod turn;
mod waiting;

pub(crate) use checkpoint_row::CheckpointRow;
pub(crate) use connection::{connect, within};
pub(crate) use failure::failure_of;
pub(crate) use gauges::Gauges;
pub(crate) use lane::{ControlLane, ControlSettings, NotedEnd, Request};
pub(crate) use lock_holders::name_lock_holders;
pub(crate) use relay_row::{MadeFor, read_set_up, relay_names};
pub(crate) use requests::PartLimits;
pub(crate) use stuck_statement::{StuckStatement, What};
pub(crate) use turn::TAKE_TURN;
pub(crate) use waiting::Waiting;
