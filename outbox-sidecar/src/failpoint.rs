//! Named places at which a test may kill or freeze the process, in debug builds only.

use outbox_core::sink::Batch;

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

/// Ends this process if `OUTBOX_FAILPOINT` is `crash-over:` and the type of a message in the batch, as
/// a fault in a broker's client would; after `panic-over:` by a panic of this thread.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "it is what the test asks for")]
pub(crate) fn failpoint_over(batch: &Batch) {
    let Ok(wanted) = std::env::var("OUTBOX_FAILPOINT") else {
        return;
    };
    let Some((how, of_type)) = wanted.split_once(':') else {
        return;
    };
    let mut messages = batch.messages.iter();
    if !messages.any(|delivery| delivery.row.message_type == of_type) {
        return;
    }
    match how {
        "crash-over" => std::process::abort(),
        "panic-over" => panic!("a message of type {of_type}"),
        _ => {}
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
pub(crate) const fn failpoint(_name: &str) {}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
pub(crate) const fn failpoint_over(_batch: &Batch) {}
