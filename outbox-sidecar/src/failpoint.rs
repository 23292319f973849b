//! Named places at which a test may kill the process, in debug builds only.

/// Kills this process if `OUTBOX_FAILPOINT` names this place.
#[cfg(debug_assertions)]
pub(crate) fn failpoint(name: &str) {
    if std::env::var("OUTBOX_FAILPOINT").is_ok_and(|wanted| wanted == name) {
        // A process that cannot kill itself goes on, and the test that waits for its end fails.
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
pub(crate) const fn failpoint(_name: &str) {}
