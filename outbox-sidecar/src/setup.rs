//! What a relay needs before it runs, made and taken away: schema, publication, slot, roles,
//! checkpoint topic and genesis checkpoint.

mod backlog;
mod error;
mod genesis;
mod init;
mod lock;
mod note;
mod plan;
mod remove;
mod roles;
mod server;

pub(crate) use backlog::BacklogPolicy;
pub(crate) use error::SetupError;
pub(crate) use init::{InitOptions, init, print_plan};
use plan::plan;
pub(crate) use remove::remove;
