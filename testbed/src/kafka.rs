//! Kafka brokers.

mod address;
mod encrypted;
mod fence;
mod node;
mod options;
mod probe;
mod server;
mod tools;

pub use address::KafkaAddress;
pub(crate) use address::blocking;
pub use encrypted::KafkaEncryption;
pub use options::KafkaOptions;
pub use server::KafkaServer;
pub use tools::install_kafka_tools;
