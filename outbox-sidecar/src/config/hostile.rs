//! What a configuration file may do to its reader.

use std::path::Path;

use super::file::parse;
use super::{Layers, Settings};
use crate::hostile;

/// A file is settings or an error that says where and what.
pub(crate) fn file(input: &[u8]) {
    hostile::bounded_text(input, |text| {
        let entries = parse(text, Path::new("o.toml"))?;
        let layers = Layers::of(entries, None)?;
        Settings::read(&layers).map(drop)
    });
}
