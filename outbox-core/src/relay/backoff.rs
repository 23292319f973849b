use std::time::Duration;

use super::BackoffLimits;

/// Exponential back-off with full jitter above the minimum; forgets once something worked.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    limits: BackoffLimits,
    failures: u32,
}

/// Doubling beyond this many failures changes nothing any more.
const DOUBLINGS_MAX: u32 = 20;

impl Backoff {
    pub(super) const fn new(limits: BackoffLimits) -> Self {
        Self {
            limits,
            failures: 0,
        }
    }

    pub(super) const fn succeed(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure.
    pub(super) fn fail(&mut self, random: &mut fastrand::Rng) -> Duration {
        let ceiling = self
            .limits
            .delay_min
            .saturating_mul(1 << self.failures.min(DOUBLINGS_MAX))
            .min(self.limits.delay_max);
        self.failures = self.failures.saturating_add(1);
        let spread = ceiling.saturating_sub(self.limits.delay_min);
        self.limits.delay_min + spread.mul_f64(random.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_limit_and_start_again() {
        let limits = BackoffLimits {
            delay_min: Duration::from_millis(50),
            delay_max: Duration::from_secs(30),
        };
        let mut random = fastrand::Rng::with_seed(7);
        let mut backoff = Backoff::new(limits);
        assert_eq!(backoff.fail(&mut random), limits.delay_min);
        for _ in 0..100 {
            let delay = backoff.fail(&mut random);
            assert!(delay >= limits.delay_min && delay <= limits.delay_max);
        }
        backoff.succeed();
        assert_eq!(backoff.fail(&mut random), limits.delay_min);
    }
}
