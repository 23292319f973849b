//! The transactional outbox for PostgreSQL.
//!
//! A service stores its events in the same database transaction as its business change; a relay
//! (the `outbox-sidecar` program) reads them from the write-ahead log and publishes them to a
//! broker, each exactly once. This crate holds both halves' contract: the outbox schema and
//! `enqueue` for services, and the positions, the checkpoint, the sink contract and the relay's
//! state machine for programs that publish. And for consumers an [`Inbox`], by which they act once
//! on a message that a broker delivers twice.
//!
//! ```no_run
//! # #[cfg(feature = "sqlx")]
//! # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
//! use outbox_core::{Message, Outbox, schema};
//!
//! schema::migrate(&mut pool.acquire().await?).await?;
//! let outbox = Outbox::new();
//!
//! let mut tx = pool.begin().await?;
//! sqlx::query("update policy set state = 'issued' where id = 4711").execute(&mut *tx).await?;
//! let message = Message::new("policy-events", "PolicyIssued").key(4711).header("tenant", "7");
//! outbox.enqueue(&mut tx, message.json(&["any", "value"])?).await?;
//! tx.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The default features pull in no database driver, no broker client and no async runtime.

pub mod checkpoint;
mod cluster;
pub mod enqueue;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod inbox;
mod lsn;
pub mod message;
mod message_id;
mod outbox_row;
mod position;
pub mod relay;
mod request;
pub mod schema;
pub mod sink;
mod timestamp;

pub use cluster::{HistoryEntry, SystemId, TimelineHistory, TimelineHistoryError, TimelineId};
pub use enqueue::{EnqueueError, Outbox};
pub use inbox::{Acceptance, Inbox, InboxError};
pub use lsn::{Lsn, ParseLsnError};
pub use message::{Message, MessageError};
pub use message_id::{MessageId, ParseMessageIdError};
pub use outbox_row::OutboxRow;
pub use position::{Frontier, Position};
pub use request::RequestId;
pub use timestamp::Timestamp;
