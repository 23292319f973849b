//! What runs in both tiers, in different sizes.

pub(crate) mod alarm;
pub(crate) mod audit;
pub(crate) mod busy_neighbour;
pub(crate) mod crash_mix;
pub(crate) mod indefinite;
pub(crate) mod large_audit;
pub(crate) mod large_transaction;
pub(crate) mod many_keys;
pub(crate) mod many_topics;
pub(crate) mod stuck_mix;
pub(crate) mod zombies;
