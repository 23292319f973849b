//! Against a real node.

mod contract;
mod faults;
mod ownership;
mod reading;
mod refusals;
pub(super) mod support;
