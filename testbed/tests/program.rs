//! A program under test: killed, restarted, read.

use std::time::Duration;

use testbed::{Exit, Program, Spawn};

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_program_is_killed_restarted_and_read() {
    let script = r#"echo out; echo '{"message":"ready"}' >&2; echo noise >&2; exec sleep 1000"#;
    let program = Program::start("script", Spawn::new("sh").args(["-c", script])).unwrap();
    program
        .logged("ready", DEADLINE, |line| line["message"] == "ready")
        .await
        .unwrap();
    assert!(program.restart().is_err(), "it runs");
    assert_eq!(program.exit().unwrap(), None);
    program.kill().await.unwrap();
    assert_eq!(program.exit().unwrap(), Some(Exit::Signal(9)));

    program.restart().unwrap();
    let twice = async || program.log().unwrap().len() == 2;
    testbed::wait::until("a second line", DEADLINE, twice)
        .await
        .unwrap();
    assert_eq!(program.stdout().unwrap(), "out\nout\n");
    program.freeze().unwrap();
    program.thaw().unwrap();
    program.terminate().unwrap();
    assert_eq!(program.exited(DEADLINE).await.unwrap(), Exit::Signal(15));
}

#[tokio::test]
async fn a_program_that_ends_early_says_so_with_its_log() {
    let script = "echo the reason >&2; exit 3";
    let program = Program::start("script", Spawn::new("sh").args(["-c", script])).unwrap();
    let missing = program
        .logged("ready", DEADLINE, |_| true)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("exit code 3") && missing.contains("the reason"),
        "{missing}"
    );
    assert_eq!(program.exited(DEADLINE).await.unwrap().code(), Some(3));
}
