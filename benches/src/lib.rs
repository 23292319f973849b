//! The harness of the benchmarks: real servers, the real relay, and what it is measured against.
//!
//! `src/bin/drain.rs`, `latency.rs` and `transactions.rs` are the benchmarks; README.md says how they measure
//! and what came out.

mod audience;
mod backlog;
mod ceiling;
mod http;
mod latency;
mod listener;
mod machine;
mod measure;
mod outlet;
mod plain;
mod report;
mod servers;
mod sidecar;
mod statistics;
mod transactions;

pub use audience::{Audience, verify};
pub use backlog::{Backlog, Shape};
pub use ceiling::Ceiling;
pub use latency::{Latency, LatencyPlan};
pub use measure::Usage;
pub use outlet::Broker;
pub use plain::plain_client;
pub use report::{Table, json_line, note};
pub use servers::Servers;
pub use sidecar::{Drained, Sidecar};
pub use statistics::{Spread, percentile};
pub use transactions::{Ending, TransactionBroker, TransactionPlan, Transactions};
