//! What runs in both tiers, in different sizes.

pub(crate) mod busy_neighbour;
pub(crate) mod crash_mix;
pub(crate) mod large_transaction;
pub(crate) mod memory_alarm;
