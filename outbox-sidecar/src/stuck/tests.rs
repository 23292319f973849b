//! The statements on a real server. What the relay does with a request is played by a task.

mod asking;
mod editing;
mod planning;
mod reading;
mod relay;
pub(crate) mod support;
mod together;
