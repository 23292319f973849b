//! What a configuration file may do to its reader.

use std::path::Path;

use super::file::parse;
use super::{Layers, Settings};
use crate::hostile;

/// What the TOML parser may take for each byte, of files of 1 MiB at most: keys of many dots and arrays in
/// arrays, up to 80 deep, are tables of its own until it refuses them.
const PARSER_BYTES_PER_BYTE: u64 = 1024;

/// A file is settings or an error that says where and what.
pub(crate) fn file(input: &[u8]) {
    let parser_bytes = PARSER_BYTES_PER_BYTE * input.len() as u64;
    hostile::bounded_text_with_buffer(parser_bytes, input, |text| {
        let entries = parse(text, Path::new("o.toml"))?;
        let layers = Layers::of(entries, None)?;
        Settings::read(&layers).map(drop)
    });
}
