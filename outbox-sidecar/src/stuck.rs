//! Messages that were set aside, as operators see them and decide about them.
//!
//! 1. [`list`], [`summarise`] and [`show`] read, whatever state the relay is in.
//! 2. [`plan`] says what a choice means, and what of it would break the order of a key.
//! 3. [`ask`] writes requests, each one transaction: a row of `outbox.request`, whose trigger puts
//!    it into the log, and the chosen rows, which carry its id from then on. The relay carries a
//!    request out where it meets it in the log; [`ask`] waits for that if it is asked to.
//!
//! Nothing here changes what the relay has written: it only asks. Rows that somebody else has asked
//! for are theirs.

mod asking;
mod edit;
mod error;
mod filter;
mod json;
mod order;
mod page;
mod plan;
mod request;
mod row;
mod shown;
mod summary;
#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
pub(crate) use asking::Rest;
pub(crate) use asking::{Answer, Wish, ask};
pub(crate) use edit::{Edit, EditError};
pub(crate) use error::StuckError;
pub(crate) use filter::{Filter, StateFilter};
pub(crate) use page::{Page, PageOptions, list};
#[cfg(test)]
pub(crate) use plan::RefusedKey;
pub(crate) use plan::{Plan, TakenBy, plan};
pub(crate) use request::Kind;
pub(crate) use row::ParkedRow;
pub(crate) use shown::{LastRequest, ShownRow, show};
pub(crate) use summary::{ReasonCount, Summary, summarise};
