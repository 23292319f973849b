//! The publication: which rows the stream carries.

mod definition;
mod row_filter;
#[cfg(test)]
mod tests;

pub(crate) use definition::{Publication, create_statement, read_publication};
pub(crate) use row_filter::{Shard, row_filter};
