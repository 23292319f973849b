//! `docs/getting-started.md`, from zero to the first message: its files are written and its commands
//! typed as they stand there, in their order.

use std::path::Path;
use std::process::{Command, Stdio};

use testbed::{ReservedPort, provision, unique, wait};

use crate::page::{Values, named_blocks};
use crate::program::{Directory, Running};
use crate::scenario::{DEADLINE, Ran};

const PAGE: &str = include_str!("../../docs/getting-started.md");

/// The part of the page that is walked.
const HEADING: &str = "## From zero to first message\n";

/// Whoever follows the page, in a directory of their own.
struct Newcomer {
    directory: Directory,
    port: ReservedPort,
}

impl Newcomer {
    fn new() -> Self {
        let newcomer = Self {
            directory: Directory::new(),
            port: ReservedPort::find().unwrap(),
        };
        testbed::install_kafka_tools(newcomer.directory.path()).unwrap();
        newcomer
    }

    /// What was typed, to be started.
    fn shell(&self, line: &str) -> Command {
        let psql = provision::postgres_client("psql").unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_outbox-sidecar"));
        let folders = [program.parent(), Some(self.directory.path()), psql.parent()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = folders.into_iter().flatten().map(Path::to_owned);
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(self.directory.path())
            .env("PATH", path)
            // Tests run side by side, newcomers do not.
            .env(
                "OUTBOX_HTTP__LISTEN",
                format!("127.0.0.1:{}", self.port.number()),
            )
            .stdin(Stdio::null());
        command
    }

    async fn run(&self, line: &str) -> Ran {
        let mut command = self.shell(line);
        let ran = tokio::task::spawn_blocking(move || command.output());
        Ran::from(ran.await.unwrap().unwrap())
    }

    /// Starts a relay, and waits until it is active.
    async fn relay(&self, line: &str) -> Running {
        let mut command = self.shell(&format!("exec {line}"));
        let relay = Running(command.stderr(Stdio::null()).spawn().unwrap());
        wait::until("an active relay", DEADLINE, || async {
            let ran = self.run("outbox-sidecar status").await;
            ran.stdout.starts_with("active")
        })
        .await
        .unwrap();
        relay
    }

    /// Ctrl-C.
    async fn interrupt(&self, mut relay: Running) {
        let ran = self.run(&format!("kill -INT {}", relay.0.id())).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let ended = tokio::task::spawn_blocking(move || relay.0.wait());
        assert_eq!(ended.await.unwrap().unwrap().code(), Some(0));
    }
}

/// The part of the page with our servers' addresses, and with names that no other test has.
async fn walked() -> String {
    let servers = tokio::try_join!(testbed::shared_postgres(), testbed::shared_kafka());
    let (postgres, kafka) = servers.unwrap();
    let (_, rest) = PAGE.split_once(HEADING).unwrap();
    let (part, _) = rest.split_once("\n## ").unwrap();
    let superuser = postgres.url(postgres.superuser(), "shop");
    let server = superuser.trim_end_matches("shop");
    part.replace("postgres://postgres@localhost:5432/", server)
        .replace("localhost:9092", kafka.bootstrap())
        .replace("as postgres", &format!("as {}", postgres.superuser()))
        .replace("shop", &unique::name("shop"))
        .replace("first\"", &format!("{}\"", unique::name("first")))
        .replace("orders", &unique::name("orders").replace('_', "-"))
}

#[tokio::test]
async fn a_newcomer_sees_the_first_message() {
    let newcomer = Newcomer::new();
    let page = walked().await;
    let mut values = Values::new();
    let mut relay = None;
    for block in named_blocks(&page) {
        match (block.language, block.name) {
            ("toml" | "sql", file) => {
                std::fs::write(newcomer.directory.path().join(file), block.text()).unwrap();
            }
            ("console", "run") => {
                let line = block.commands()[0].text(&values);
                relay = Some(newcomer.relay(&line).await);
            }
            ("console", name) => {
                if name == "remove" {
                    newcomer.interrupt(relay.take().unwrap()).await;
                }
                for command in block.commands() {
                    let ran = newcomer.run(&command.text(&values)).await;
                    let printed = format!("{}{}", ran.stdout, ran.stderr);
                    let is_right =
                        ran.code == Some(command.code) && command.matches(&printed, &values);
                    assert!(is_right, "{command:#?}\n{printed}{:?}", ran.code);
                    if name == "enqueue" {
                        let id = ran.stdout.lines().last().unwrap();
                        values.insert("MESSAGE_ID", id.to_owned());
                    }
                }
            }
            other => panic!("a block that nobody can follow: {other:?}"),
        }
    }
    assert!(relay.is_none() && !values.is_empty(), "the page is whole");
}
