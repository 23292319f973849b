//! RabbitMQ nodes.

mod address;
mod control;
mod node;
mod server;

pub use address::RabbitAddress;
pub use server::RabbitServer;
