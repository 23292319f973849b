//! What TLS to any server needs: files with certificates and keys, and whom to believe.

mod files;
mod peer_name;
mod proof;

pub(crate) use files::{Authorities, FileError, Identity, authorities, identity, system};
pub(crate) use peer_name::check as check_name;
pub(crate) use proof::{Objection, Proof};
