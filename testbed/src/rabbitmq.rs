//! RabbitMQ nodes.

mod address;
mod control;
mod encrypted;
mod files;
mod node;
mod server;

pub use address::RabbitAddress;
pub use encrypted::RabbitEncryption;
pub use server::RabbitServer;
