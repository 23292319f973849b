use testbed::{Program, ReservedPort, Spawn, wait};

use crate::scenario::observation::get;
use crate::scenario::{DEADLINE, Scenario};

/// A second process of the same relay, with an HTTP port of its own.
pub(crate) struct Twin {
    pub(crate) program: Program,
    port: ReservedPort,
}

impl Twin {
    /// Starts it.
    pub(crate) fn start(scenario: &Scenario) -> Self {
        let port = ReservedPort::find().unwrap();
        let command = Spawn::new(env!("CARGO_BIN_EXE_outbox-sidecar"))
            .arg("run")
            .arg("-c")
            .arg(scenario.file().to_str().unwrap())
            .arg("--set")
            .arg(format!("http.listen=127.0.0.1:{}", port.number()));
        let program = Program::start("twin", command).unwrap();
        Self { program, port }
    }

    /// Starts it while another process is active: it stands by.
    pub(crate) async fn standing_by(scenario: &Scenario) -> Self {
        let twin = Self::start(scenario);
        twin.phase("standby").await;
        twin
    }

    /// Waits until it is in this phase, having looked at the slot at least once.
    pub(crate) async fn phase(&self, phase: &str) {
        wait::until(&format!("the twin: {phase}"), DEADLINE, || async {
            self.is_in(phase).await
        })
        .await
        .unwrap();
    }

    /// Whether it is in this phase, and has looked at the slot at least once.
    pub(crate) async fn is_in(&self, phase: &str) -> bool {
        let answer = get(self.port.number(), "/status").await;
        let status: Option<serde_json::Value> =
            answer.and_then(|(_, body)| serde_json::from_str(&body).ok());
        status.is_some_and(|status| status["phase"] == phase && status["started"] == true)
    }

    pub(crate) async fn answer(&self, page: &str) -> u16 {
        get(self.port.number(), page).await.unwrap().0
    }
}
