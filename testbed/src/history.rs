//! What was written, what was consumed, and whether the two agree.
//!
//! [`Writers`] fill the outbox in every shape that PostgreSQL knows and remember what they did;
//! [`read`] and [`Follower`] collect what a read_committed consumer sees, [`take_queue`] and
//! [`read_stream`] what RabbitMQ holds; [`check`] compares.

mod checker;
mod follower;
mod rabbitmq;
mod reader;
mod transaction;
mod writers;

pub use checker::{Finding, Report, check};
pub use follower::Follower;
pub use rabbitmq::{read_stream, take_queue};
pub use reader::{Record, read};
pub use writers::{History, WriterPlan, Writers, Written};
