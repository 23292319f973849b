//! TLS as libpq users expect it: who is trusted, who we are, and how it begins.

mod end_point;
mod error;
mod files;
mod handshake;
mod settings;

pub(crate) use error::TlsError;
pub(super) use handshake::{Encrypted, TlsSocket, encrypt};
pub(super) use settings::TlsSettings;
