//! Owns the processes of a test run, so that none of them outlives it.
//!
//! A test process can end in ways that run no destructor: Ctrl-C, SIGKILL, `std::process::exit`, a
//! panic that aborts. What it started must end all the same. So it starts nothing itself: it asks
//! one supervisor process, which sits in its own session, ignores the terminal's signals and
//! watches one socket. The kernel closes that socket however the test process ends; the supervisor
//! then kills every process group and every descendant it owns, deletes the directories it was
//! given and exits.
//!
//! [`Supervisor`] is the client side; [`run`] is what the binary `testbed-supervisor` does.
//!
//! ```no_run
//! use testbed_supervisor::{Signal, Spawn, Supervisor, Target};
//!
//! # fn main() -> Result<(), testbed_supervisor::Error> {
//! let supervisor = Supervisor::start()?;
//! let process = supervisor.spawn(&Spawn::new("sleep").arg("60"))?;
//! supervisor.signal(process.id, Signal::Kill, Target::Tree)?;
//! # Ok(())
//! # }
//! ```

mod client;
mod error;
mod exit;
mod locate;
mod process_tree;
mod protocol;
mod server;
mod spawn;

pub use client::{Process, Supervisor};
pub use error::Error;
pub use exit::Exit;
pub use protocol::{Signal, Target};
pub use server::run;
pub use spawn::{Output, Spawn};
