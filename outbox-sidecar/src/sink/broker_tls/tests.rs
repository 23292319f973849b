//! What addresses may say, and what comes of it at real nodes.

mod addresses;
mod listeners;
