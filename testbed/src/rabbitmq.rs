//! RabbitMQ nodes.

mod control;
mod node;
mod server;

pub use server::RabbitServer;
