//! Proxies that stand between a program and its servers, and misbehave on request.

pub mod kafka;
mod tcp;

pub use kafka::KafkaProxy;
pub use tcp::TcpProxy;
