//! Where random tests begin.

/// A seed from the environment, or a new one; printed, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("OUTBOX_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("OUTBOX_TEST_SEED={seed}");
    seed
}
