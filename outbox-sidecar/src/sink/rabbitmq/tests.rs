//! Against a real node.

mod contract;
mod faults;
mod inspecting;
mod ownership;
mod reading;
mod refusals;
pub(in crate::sink) mod support;
