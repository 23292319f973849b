//! PostgreSQL to events: the replication connection and what its stream means.

pub(crate) mod connection;
mod error;
pub(crate) mod pgoutput;
pub(crate) mod publication;
pub(crate) mod quote;
pub(crate) mod replication;
pub(crate) mod slot;

pub(crate) use error::{
    CREATING_SLOT, STARTING, STREAMING, SourceError, foreign_text, kind_of_state,
};
