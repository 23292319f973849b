//! What a relay needs before it runs, made and taken away: schema, publication, slot, roles,
//! checkpoint topic and genesis checkpoint.

mod backlog;
mod connecting;
mod error;
mod genesis;
mod init;
mod lock;
mod note;
mod options;
mod plan;
mod publication;
mod remove;
mod roles;
mod server;
mod slot;

pub(crate) use backlog::BacklogPolicy;
pub(crate) use error::SetupError;
pub(crate) use init::init;
pub(crate) use options::InitOptions;
pub(crate) use plan::print_plan;
pub(crate) use remove::remove;
pub(crate) use server::VERSION_MIN;
