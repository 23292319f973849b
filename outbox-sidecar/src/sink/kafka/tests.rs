//! The sink against a real broker.

mod broker;
mod checkpoints;
mod encrypted;
mod faults;
mod fencing;
mod isolation;
mod late;
mod publishing;
mod reading;
mod refusals;
mod support;
mod undecided;
