//! The test bed: starts real PostgreSQL, Kafka and RabbitMQ servers, breaks them, and checks what came out.
//!
//! For tests, benchmarks and the demo only. Nothing it starts outlives the process that uses it:
//! see [`testbed_supervisor`]. Servers listen on 127.0.0.1 only, on ports of their own.
//!
//! ```no_run
//! # async fn example() -> Result<(), testbed::Error> {
//! // A test that breaks servers starts its own ones ...
//! let postgres = testbed::PostgresServer::start().await?;
//! let kafka = testbed::KafkaServer::start().await?;
//! postgres.kill().await?;
//! postgres.restart().await?;
//! // ... every other test shares those of its process, or of the whole run.
//! let shared = testbed::shared_postgres().await?;
//! let database = shared.create_database().await?;
//! let client = shared.connect("postgres", &database).await?;
//! # Ok(())
//! # }
//! ```

mod canary;
pub mod certificates;
mod directory;
mod error;
pub mod history;
pub mod impostor;
mod kafka;
pub mod mutation;
mod pooler;
mod ports;
mod postgres;
mod process;
pub mod provision;
pub mod proxy;
mod rabbitmq;
mod server;
mod shared;
mod supervised;
pub mod unique;
mod user;
pub mod wait;

pub use canary::{CANARY, assert_no_canary};
pub use error::Error;
pub use kafka::{KafkaAddress, KafkaEncryption, KafkaOptions, KafkaServer, install_kafka_tools};
pub use pooler::Pooler;
pub use ports::ReservedPort;
pub use postgres::{PostgresAddress, PostgresOptions, PostgresServer, Shutdown, Snapshot};
pub use process::{Program, beside_this_executable};
pub use rabbitmq::{RabbitAddress, RabbitEncryption, RabbitServer};
pub use shared::{
    KAFKA_VARIABLE, POSTGRES_VARIABLE, shared_kafka, shared_postgres, shared_rabbitmq,
};
pub use testbed_supervisor::{Exit, Spawn};
