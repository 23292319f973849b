//! The program: parse, run, exit code.

use std::process::ExitCode;

/// Rows are allocated by one thread and freed by another, here and in librdkafka: the system's
/// allocator spends a third of the relay's time on that. See docs/adr/0015.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // A thread that dies alone would leave a relay that holds the slot and does nothing.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        outbox_sidecar::cli::exit_after_panic();
    }));
    ExitCode::from(outbox_sidecar::cli::main())
}
