//! The whole path on real servers: a service that enqueues, the relay that is killed on the way, a
//! consumer that sees each committed message once, and a table that says so.
//!
//! Follow it here: `servers.rs` starts PostgreSQL, `outlet.rs` the broker, `service.rs` the orders service,
//! `relay.rs` the sidecar, `load.rs` sends the requests that `plan.rs` draws from the seed,
//! `kills.rs` says when the relay dies, `verdict.rs` compares the outbox with what was consumed.

mod kills;
mod load;
mod options;
mod outlet;
mod plan;
mod progress;
mod relay;
mod run;
mod servers;
mod service;
mod verdict;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    match run::run(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
