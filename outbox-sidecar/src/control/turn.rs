//! Whose turn it is to decide about what is set aside.
//!
//! A relay's steps and operators' requests decide about keys one after the other. The lock is of its own:
//! whoever holds it for long holds up requests, and neither publishing nor a take-over.

/// Takes the turn until the transaction ends, of the relay `$1` in the schema `$2`.
pub(crate) const TAKE_TURN: &str = "
    select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(
        'requests of ' || $1::text || ' in ' || $2::text, 0))::text";
