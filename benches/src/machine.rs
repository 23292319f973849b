//! Whether the machine is quiet enough to measure on.

/// Running and waiting processes a processor, above which somebody else is at work.
const BUSY: f64 = 0.5;

/// A warning when the machine is busy before the benchmark has begun: its figures will be too low.
#[must_use]
pub(crate) fn busy_warning() -> Option<String> {
    let processors = std::thread::available_parallelism().ok()?.get();
    let load = load(&std::fs::read_to_string("/proc/loadavg").ok()?)?;
    (load > BUSY * processors as f64).then(|| {
        format!(
            "the machine is busy (load {load:.1} on {processors} processors): figures taken now \
             are not worth keeping"
        )
    })
}

/// The average over the last minute: the first number.
fn load(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_load() {
        assert_eq!(load("6.97 5.18 5.50 3/204 7632\n"), Some(6.97));
        assert_eq!(load(""), None);
    }
}
