//! What is shown to people and machines: names of metrics, logs.

pub(crate) mod names;
