//! Against a real node.

mod contract;
mod crashes;
mod faults;
mod hostile;
mod known;
mod reading;
mod refusals;
mod retention;
mod super_streams;
mod support;
mod timelines;
