//! What the commands have in common by which operators ask the relay for something: a session with
//! its database, turns with the relay, requests whose outcome is waited for.

mod columns;
mod conditions;
mod error;
mod extent;
mod left_out;
mod open_requests;
mod outcome;
mod pace;
mod presence;
mod progress;
mod session;
mod values;
mod waiting;

pub(crate) use columns::{column, count, position, time};
pub(crate) use conditions::conditions;
pub(crate) use error::RequestError;
pub(crate) use extent::Extent;
pub(crate) use left_out::LeftOut;
#[cfg(test)]
pub(crate) use open_requests::OpenRequest;
pub(crate) use open_requests::OpenRequests;
pub(crate) use outcome::Outcome;
pub(crate) use pace::Pace;
pub(crate) use presence::Presence;
pub(crate) use progress::Progress;
pub(crate) use session::Session;
pub(crate) use values::Values;
pub(crate) use waiting::await_done;
