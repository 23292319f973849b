//! RabbitMQ nodes.

mod address;
mod control;
mod files;
mod node;
mod server;

pub use address::RabbitAddress;
pub use server::RabbitServer;
