//! `testbed serve` and what it started end together, however it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test"
)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::PostgresAddress;

const DEADLINE: Duration = Duration::from_secs(60);

/// Starts it, and returns it with the addresses of its servers, and what else it will print.
fn serve() -> (Child, Vec<String>, BufReader<ChildStdout>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let lines = output.by_ref().lines();
    let values: Vec<String> = lines
        .map(|line| line.unwrap())
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_once('=').unwrap().1.to_owned())
        .collect();
    let address = |value: &String| {
        let value = value.trim_start_matches("postgres://postgres@");
        value.trim_end_matches("/postgres").to_owned()
    };
    (child, values.iter().map(address).collect(), output)
}

fn refused(addresses: &[String]) {
    let deadline = Instant::now() + DEADLINE;
    for address in addresses {
        while TcpStream::connect(address).is_ok() {
            assert!(Instant::now() < deadline, "{address} still answers");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn servers_end_with_the_process_that_serves_them() {
    let (mut child, addresses, _output) = serve();
    assert_eq!(addresses.len(), 2);
    addresses
        .iter()
        .for_each(|address| drop(TcpStream::connect(address).unwrap()));
    child.kill().unwrap();
    child.wait().unwrap();
    refused(&addresses);

    let (mut child, addresses, _output) = serve();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    refused(&addresses);
}

/// The postmaster behind an address.
async fn postmaster(address: &str) -> Pid {
    let url = format!("postgres://postgres@{address}/postgres");
    let client = PostgresAddress::from_url(&url).unwrap();
    let client = client.connect_as_superuser().await.unwrap();
    let asked = "select split_part(pg_read_file('postmaster.pid'), e'\\n', 1)";
    let pid: String = client.query_one(asked, &[]).await.unwrap().get(0);
    Pid::from_raw(pid.parse().unwrap())
}

#[tokio::test]
async fn a_server_that_ends_by_itself_ends_all_and_says_why() {
    let (mut child, addresses, mut output) = serve();
    let postmaster = postmaster(addresses.first().unwrap()).await;
    kill(postmaster, Signal::SIGKILL).unwrap();
    let mut why = String::new();
    output.read_to_string(&mut why).unwrap();
    assert!(why.contains("PostgreSQL ended: signal 9"), "{why}");
    assert!(why.contains("database system is ready"), "no log: {why}");
    assert!(!child.wait().unwrap().success());
    refused(&addresses);
}
