//! The relay between core-app's database and the queue.

use std::time::Duration;

use testbed::{Exit, Program, ReservedPort, Spawn, beside_this_executable, unique};

use crate::database::Database;
use crate::report::queue::Queue;

const PROGRAM: &str = "outbox-sidecar";
const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct Relay {
    pub(crate) program: Program,
    database_url: String,
    /// Given to every command as environment.
    settings: Vec<(&'static str, String)>,
    _port: ReservedPort,
}

impl Relay {
    /// `init`, then `run`.
    pub(crate) async fn start(database: &Database, queue: &Queue) -> Self {
        let port = ReservedPort::find().unwrap();
        let settings = vec![
            ("OUTBOX_RELAY__NAME", unique::name("reports")),
            ("OUTBOX_POSTGRES__URL", database.url() + "?sslmode=disable"),
            ("OUTBOX_RABBITMQ__URL", queue.url()),
            ("OUTBOX_RABBITMQ__HEARTBEAT_S", "1".to_owned()),
            (
                "OUTBOX_HTTP__LISTEN",
                format!("127.0.0.1:{}", port.number()),
            ),
        ];
        let admin_url = database.url();
        run_to_end(&settings, &["init", "--admin-url", &admin_url]).await;
        Self {
            program: Program::start("relay", command(&settings, &["run"])).unwrap(),
            database_url: admin_url,
            settings,
            _port: port,
        }
    }

    /// Ends it, and gives its slot back to the server, which has few.
    pub(crate) async fn remove(self) {
        self.program.terminate().unwrap();
        let exit = self.program.exited(DEADLINE).await.unwrap();
        assert_eq!(exit.code(), Some(0), "{:?}", self.program.stderr());
        let arguments = ["remove", "--yes", "--admin-url", &self.database_url];
        run_to_end(&self.settings, &arguments).await;
    }
}

async fn run_to_end(settings: &[(&'static str, String)], arguments: &[&str]) {
    let program = Program::start("sidecar", command(settings, arguments)).unwrap();
    let exit: Exit = program.exited(DEADLINE).await.unwrap();
    assert!(
        exit.success(),
        "{:?} {:?}",
        program.stdout(),
        program.stderr()
    );
}

fn command(settings: &[(&'static str, String)], arguments: &[&str]) -> Spawn {
    let binary = beside_this_executable(PROGRAM).unwrap();
    let command = Spawn::new(binary.to_string_lossy()).args(arguments.iter().copied());
    settings
        .iter()
        .fold(command, |command, (key, value)| command.env(*key, value))
}
