//! The supervisor's promise: however the parent ends, nothing of it stays.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal as UnixSignal, kill};
use nix::unistd::Pid;
use testbed_supervisor::{Exit, Output, Signal, Spawn, Supervisor, Target};

const DEADLINE: Duration = Duration::from_secs(30);
/// Set in the process that plays the parent; it names the directory to work in.
const PARENT: &str = "TESTBED_SUPERVISOR_TEST_PARENT";

fn alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn pids(directory: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(directory.join("pids")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// A child with a child that left its session, as a PostgreSQL backend does, and both noted.
fn family(directory: &Path) -> Spawn {
    let script =
        "echo $$ >> pids; setsid sh -c 'echo $$ >> pids; exec sleep 1000' & exec sleep 1000";
    Spawn::new("sh")
        .args(["-c", script])
        .directory(directory)
        .output(Output::Discard)
}

fn work_directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Not a test by itself: the parent that `a_killed_parent_leaves_nothing` starts and kills.
#[test]
fn parent() {
    let Some(directory) = std::env::var_os(PARENT).map(PathBuf::from) else {
        return;
    };
    let supervisor = Supervisor::start().unwrap();
    supervisor.own(&directory.join("owned")).unwrap();
    supervisor.spawn(&family(&directory)).unwrap();
    std::fs::write(directory.join("supervisor"), supervisor.pid().to_string()).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_parent_leaves_nothing() {
    for signal in [UnixSignal::SIGKILL, UnixSignal::SIGINT, UnixSignal::SIGTERM] {
        let directory = work_directory(&format!("supervisor-{}", signal.as_str()));
        std::fs::create_dir_all(directory.join("owned/inner")).unwrap();
        // Whoever runs the tests in the background has them ignore SIGINT, as a shell does.
        let mut parent = Command::new("env")
            .arg("--default-signal=INT,TERM")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "parent", "--nocapture"])
            .env(PARENT, &directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("both processes run", || pids(&directory).len() == 2);
        until("the supervisor is noted", || {
            directory.join("supervisor").exists()
        });
        let supervisor = std::fs::read_to_string(directory.join("supervisor")).unwrap();
        let supervisor: i32 = supervisor.parse().unwrap();
        assert!(pids(&directory).iter().all(|pid| alive(*pid)));

        // The terminal's signal reaches the supervisor too, and must not end it early.
        kill(Pid::from_raw(supervisor), UnixSignal::SIGINT).unwrap();
        kill(Pid::from_raw(parent.id().cast_signed()), signal).unwrap();
        parent.wait().unwrap();

        until("the processes are gone", || {
            !pids(&directory).iter().any(|pid| alive(*pid))
        });
        until("the owned directory is gone", || {
            !directory.join("owned").exists()
        });
        until("the supervisor is gone", || !alive(supervisor));
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn a_tree_is_frozen_and_killed_as_a_whole() {
    let directory = work_directory("supervisor-tree");
    let supervisor = Supervisor::start().unwrap();
    let process = supervisor.spawn(&family(&directory)).unwrap();
    until("both processes run", || pids(&directory).len() == 2);
    let state = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(')')
            .unwrap()
            .1
            .trim()
            .chars()
            .next()
            .unwrap()
    };
    supervisor
        .signal(process.id, Signal::Stop, Target::Tree)
        .unwrap();
    until("all are stopped", || {
        pids(&directory).iter().all(|pid| state(*pid) == 'T')
    });
    supervisor
        .signal(process.id, Signal::Continue, Target::Tree)
        .unwrap();
    until("all go on", || {
        pids(&directory).iter().all(|pid| state(*pid) != 'T')
    });
    assert_eq!(supervisor.exit(process.id).unwrap(), None);

    supervisor
        .signal(process.id, Signal::Kill, Target::Tree)
        .unwrap();
    until("the process is gone", || {
        supervisor.exit(process.id).unwrap() == Some(Exit::Signal(9))
    });
    assert!(!pids(&directory).iter().any(|pid| alive(*pid)));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn output_environment_and_exit_code_arrive() {
    let directory = work_directory("supervisor-output");
    let supervisor = Supervisor::start().unwrap();
    let (output, error) = (directory.join("output"), directory.join("error"));
    let spawn = Spawn::new("sh")
        .args(["-c", "echo \"$GREETING\"; echo oops >&2; exit 7"])
        .env("GREETING", "two\twords\nand a line")
        .output(Output::Files(output.clone(), error.clone()));
    let process = supervisor.spawn(&spawn).unwrap();
    until("it ended", || {
        supervisor.exit(process.id).unwrap().is_some()
    });
    assert_eq!(supervisor.exit(process.id).unwrap(), Some(Exit::Code(7)));
    assert_eq!(
        std::fs::read_to_string(output).unwrap(),
        "two\twords\nand a line\n"
    );
    assert_eq!(std::fs::read_to_string(error).unwrap(), "oops\n");

    let missing = supervisor
        .spawn(&Spawn::new("no-such-program"))
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("no-such-program cannot be started"),
        "{missing}"
    );
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_supervisor_below_another_still_deletes_its_directories() {
    let directory = work_directory("supervisor-nested");
    std::fs::create_dir_all(directory.join("owned/inner")).unwrap();
    let outer = Supervisor::start().unwrap();
    let inner = Spawn::new(std::env::current_exe().unwrap().to_str().unwrap())
        .args(["--exact", "parent", "--nocapture"])
        .env(PARENT, directory.to_str().unwrap());
    outer.spawn(&inner).unwrap();
    until("both processes run", || pids(&directory).len() == 2);
    until("the supervisor is noted", || {
        directory.join("supervisor").exists()
    });
    drop(outer);
    assert!(!pids(&directory).iter().any(|pid| alive(*pid)));
    assert!(!directory.join("owned").exists());
    std::fs::remove_dir_all(directory).unwrap();
}
