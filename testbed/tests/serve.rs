//! `testbed serve` and what it started end together, however it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test"
)]

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

/// Starts it, and returns it with the addresses of its servers.
fn serve() -> (Child, Vec<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let values: Vec<String> = lines
        .map(|line| line.unwrap())
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_once('=').unwrap().1.to_owned())
        .collect();
    let address = |value: &String| {
        let value = value.trim_start_matches("postgres://postgres@");
        value.trim_end_matches("/postgres").to_owned()
    };
    (child, values.iter().map(address).collect())
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
    let (mut child, addresses) = serve();
    assert_eq!(addresses.len(), 2);
    addresses
        .iter()
        .for_each(|address| drop(TcpStream::connect(address).unwrap()));
    child.kill().unwrap();
    child.wait().unwrap();
    refused(&addresses);

    let (mut child, addresses) = serve();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    refused(&addresses);
}
