//! The configuration: where each value comes from, and what it must be.
//!
//! Flags win over the environment, the environment over the file, the file over the default.
//! Every value remembers its origin, for `config --show` and for errors.

mod advice;
mod environment;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod key;
mod keys;
mod layers;
#[cfg(test)]
mod manifests;
mod mask;
mod origin;
mod reader;
#[cfg(test)]
mod reference;
mod settings;
mod show;
mod sink;
mod size;
#[cfg(test)]
mod tests;

pub(crate) use error::ConfigError;
pub(crate) use layers::{Layers, Overrides};
pub(crate) use mask::MASK;
pub(crate) use settings::{Ready, Settings};
pub(crate) use show::{show_json, show_text};
pub(crate) use sink::SinkSettings;
