//! A relay whose servers are away when it starts: it stays up, says so, and ends when asked to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::program::{Directory, Running};

/// How long to wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIGURATION: &str = r#"
[relay]
name = "policy"
[postgres]
url = "postgres://relay@127.0.0.1:1/app"
[kafka.properties]
"bootstrap.servers" = "127.0.0.1:1"
"#;

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn start(directory: &Directory, listen: SocketAddr) -> Running {
    let listen = format!("http.listen={listen}");
    let mut program = directory.program(&["--set", &listen, "run"]);
    Running(
        program
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    )
}

/// Status code and body; none while nobody listens.
fn get(address: SocketAddr, path: &str) -> Option<(u16, serde_json::Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, serde_json::from_str(body).ok()?))
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn exit_code(child: &mut Child) -> i32 {
    until("the end of the program", || child.try_wait().unwrap())
        .code()
        .expect("an exit code")
}

#[test]
fn it_stays_up_says_so_and_ends_when_asked_to() {
    let directory = Directory::with_configuration(CONFIGURATION);
    let listen = free_address();
    let mut relay = start(&directory, listen);
    let status = until("the source's error", || {
        let (_, status) = get(listen, "/status")?;
        status["source"]["error"].is_string().then_some(status)
    });
    assert_eq!(status["relay"], "policy");
    assert_eq!(status["started"], false);
    assert_eq!(status["source"]["connected"], false);
    assert_eq!(get(listen, "/live").unwrap().0, 200);
    let (code, reason) = get(listen, "/started").unwrap();
    assert_eq!(code, 503);
    assert!(
        reason["reason"]
            .as_str()
            .unwrap()
            .starts_with("unreachable: "),
        "{reason}"
    );
    assert_eq!(get(listen, "/ready").unwrap().0, 503);

    kill(
        Pid::from_raw(i32::try_from(relay.0.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(exit_code(&mut relay.0), 0);
    let mut stderr = String::new();
    relay
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    let mut troubles = 0;
    for line in stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        assert_eq!(line["relay"], "policy", "{line}");
        troubles += usize::from(line["message"] == "trouble");
    }
    assert_eq!(
        troubles, 1,
        "one line a change, and it changed once:\n{stderr}"
    );
}

#[test]
fn an_address_that_is_taken_is_named() {
    let directory = Directory::with_configuration(CONFIGURATION);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut relay = start(&directory, address);
    assert_eq!(exit_code(&mut relay.0), 1);
    let mut stderr = String::new();
    relay
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    let expected = format!("cannot listen on http.listen = {address}: ");
    assert!(stderr.contains(&expected), "{stderr}");
}

#[test]
fn a_check_names_both_servers_and_exits_3() {
    let checked = Directory::with_configuration(CONFIGURATION).run(&["check", "--json"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (3, ""));
    let report: serde_json::Value = serde_json::from_str(&checked.stdout).expect(&checked.stdout);
    assert_eq!(report["ok"], false);
    let subjects: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            (
                finding["level"].as_str().unwrap(),
                finding["subject"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(subjects, [("error", "connection"), ("error", "kafka")]);
}
