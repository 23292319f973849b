//! Databases that were set back: the files as they were some time ago, under the same name.

use std::path::Path;
use std::process::Command;

use testbed::{PostgresServer, Shutdown};

use crate::refused::expect;
use crate::scenario::Scenario;
use crate::scenario::observation::assert_calm;
use crate::target::Target;

/// A server's files, as they lay when it was stopped.
struct Backup<'server> {
    server: &'server PostgresServer,
    files: std::path::PathBuf,
}

impl<'server> Backup<'server> {
    async fn of(server: &'server PostgresServer) -> Self {
        server.stop(Shutdown::Fast).await.unwrap();
        let files = server.data_directory().with_extension("backup");
        copy(&server.data_directory(), &files);
        server.restart().await.unwrap();
        Self { server, files }
    }

    async fn put_back(self) {
        self.server.kill().await.unwrap();
        std::fs::remove_dir_all(self.server.data_directory()).unwrap();
        std::fs::rename(&self.files, self.server.data_directory()).unwrap();
        self.server.restart().await.unwrap();
    }
}

/// With owners and permissions.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

#[tokio::test]
async fn a_database_that_was_set_back_publishes_nothing_into_a_stream() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let postgres = PostgresServer::start().await.unwrap();
    let scenario = Scenario::to(postgres.address(), Target::stream(rabbit).await).await;
    scenario.init(&[]).await;
    let relay = scenario.start_active().await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    let backup = Backup::of(&postgres).await;
    let client = scenario.client().await;
    for batch in [10..15, 15..20] {
        scenario.enqueue(&client, batch).await;
        scenario.drained(&client).await;
    }
    relay.kill().await.unwrap();
    backup.put_back().await;

    // As long a log as before: its end shows nothing any more.
    let client = scenario.client().await;
    scenario.enqueue(&client, 100..150).await;
    for _ in 0..2 {
        let ran = scenario.run_to_end().await;
        expect(&ran, 6, &["set back", "outbox-checkpoints"]);
    }
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_that_commits_asynchronously_forgets_no_checkpoint() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let postgres = PostgresServer::options()
        .setting("synchronous_commit", "off")
        .setting("wal_writer_delay", "5s")
        .start()
        .await
        .unwrap();
    let scenario = Scenario::to(postgres.address(), Target::stream(rabbit).await).await;
    scenario.init(&[]).await;
    let relay = scenario.start_active().await;
    for batch in [0..10, 10..20] {
        let client = scenario.client().await;
        scenario.enqueue(&client, batch).await;
        scenario.drained(&client).await;
        postgres.kill().await.unwrap();
        postgres.restart().await.unwrap();
    }
    let client = scenario.client().await;
    scenario.enqueue(&client, 20..30).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..30).collect::<Vec<_>>());
    assert_calm(&relay);
}
