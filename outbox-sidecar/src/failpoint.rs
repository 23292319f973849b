//! Named places at which a test may kill or freeze the process, in debug builds only.

/// Kills this process if `OUTBOX_FAILPOINT` names this place; freezes it if the name ends in `:freeze`.
#[cfg(debug_assertions)]
pub(crate) fn failpoint(name: &str) {
    use nix::sys::signal::{Signal, raise};

    let Ok(wanted) = std::env::var("OUTBOX_FAILPOINT") else {
        return;
    };
    // A process that cannot do this to itself goes on, and the test that waits for it fails.
    if wanted == name {
        let _ = raise(Signal::SIGKILL);
    } else if wanted.strip_suffix(":freeze") == Some(name) {
        let _ = raise(Signal::SIGSTOP);
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
pub(crate) const fn failpoint(_name: &str) {}
