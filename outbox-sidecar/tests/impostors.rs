//! Servers that are none: whatever they send, or do not send, the program ends or waits in bounded
//! time and memory, names what came, and never panics.

mod kafka;
mod rabbitmq;
mod running;

use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testbed::impostor::Impostor;

use crate::program::{Directory, Running};
use crate::scenario::memory::allocated_kibibytes_max;

/// The longest a command may take before an impostor: the longest chain of limits, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most that a command may hold before an impostor, in KiB; it holds some 10 MiB anyway.
const KIBIBYTES_MAX: u64 = 64 * 1024;
/// The pause between looks at a program.
const PAUSE: Duration = Duration::from_millis(5);

/// An impostor, and the words that a command must find for what it does.
struct Case {
    name: &'static str,
    impostor: Impostor,
    words: &'static str,
}

/// Runs `check` before each of these impostors at the same time: it says what came, and ends in order.
fn checks_end_in_order(cases: Vec<Case>, configuration: impl Fn(u16) -> String) {
    let started: Vec<_> = cases
        .into_iter()
        .map(|case| {
            let directory = Directory::with_configuration(&configuration(case.impostor.port()));
            thread::spawn(move || (check(&directory), case))
        })
        .collect();
    let mut failed = Vec::new();
    for thread in started {
        let (ended, case) = thread.join().unwrap();
        println!(
            "{}: {ended:?}, {} visits",
            case.name,
            case.impostor.visits()
        );
        if let Some(fault) = ended.fault(case.words) {
            failed.push(format!("{}: {fault}: {ended:#?}", case.name));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// How a command has ended.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    kibibytes_max: u64,
    #[expect(dead_code, reason = "it is printed")]
    took: Duration,
}

impl Ended {
    /// What is wrong with it.
    fn fault(&self, words: &str) -> Option<String> {
        if self.status.code() != Some(3) {
            return Some("no exit code 3".to_owned());
        }
        if self.stderr.contains("panicked") {
            return Some("a panic".to_owned());
        }
        if self.kibibytes_max > KIBIBYTES_MAX {
            return Some(format!("more than {KIBIBYTES_MAX} KiB"));
        }
        (!self.stdout.contains(words)).then(|| format!("not a word of {words:?}"))
    }
}

/// Runs `check` to its end.
fn check(directory: &Directory) -> Ended {
    let started = Instant::now();
    let output = |name| std::fs::File::create(directory.path().join(name)).unwrap();
    let mut command = directory.program(&["check"]);
    command.stdout(Stdio::from(output("stdout")));
    command.stderr(Stdio::from(output("stderr")));
    let mut running = Running(command.spawn().unwrap());
    let mut kibibytes_max = 0;
    let status = loop {
        kibibytes_max = kibibytes_max.max(allocated_kibibytes_max(running.0.id()));
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < PATIENCE, "check does not end");
        thread::sleep(PAUSE);
    };
    let read = |name| std::fs::read_to_string(directory.path().join(name)).unwrap();
    Ended {
        status,
        stdout: read("stdout"),
        stderr: read("stderr"),
        kibibytes_max,
        took: started.elapsed(),
    }
}
