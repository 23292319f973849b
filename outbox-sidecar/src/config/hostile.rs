//! What a configuration file may do to its reader.

use std::path::Path;

use super::file::parse;
use super::{Layers, Settings};
use crate::hostile;

/// What the TOML parser has for each array or table in another, up to 80, which is as deep as it goes.
const NESTING_BYTES: u64 = 80 * 2 * 1024;

/// A file is settings or an error that says where and what.
pub(crate) fn file(input: &[u8]) {
    hostile::bounded_text_with_buffer(NESTING_BYTES, input, |text| {
        let entries = parse(text, Path::new("o.toml"))?;
        let layers = Layers::of(entries, None)?;
        Settings::read(&layers).map(drop)
    });
}
