//! When the relay is killed, and for how long it stays down.

use std::time::Duration;

/// Longest time that nobody restarts the relay.
const DOWN_MS_MAX: u64 = 1000;

/// One death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kill {
    /// Since the load was started.
    pub(crate) after: Duration,
    /// Until it is started again.
    pub(crate) down: Duration,
}

/// `count` kills at random moments of the load, in their order.
pub(crate) fn schedule(seed: u64, count: u32, load: Duration) -> Vec<Kill> {
    let mut random = fastrand::Rng::with_seed(!seed);
    let mut kills: Vec<Kill> = (0..count)
        .map(|_| Kill {
            after: load.mul_f64(random.f64()),
            down: Duration::from_millis(random.u64(0..=DOWN_MS_MAX)),
        })
        .collect();
    kills.sort_by_key(|kill| kill.after);
    kills
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_lie_within_the_load_in_order_and_follow_the_seed() {
        let load = Duration::from_secs(10);
        let kills = schedule(3, 50, load);
        assert_eq!(kills.len(), 50);
        assert!(kills.is_sorted_by_key(|kill| kill.after));
        assert!(kills.iter().all(|kill| kill.after < load));
        assert_eq!(kills, schedule(3, 50, load));
        assert_ne!(kills, schedule(4, 50, load));
    }
}
