//! Tells the cluster that its broker is gone, before that broker starts again.

use std::time::Duration;

use testbed_supervisor::{Signal, Target};

use crate::error::Error;
use crate::kafka::node::Node;
use crate::server::{Server, run_to_end};

/// Two Java starts, on a busy machine.
const UNREGISTER_MAX: Duration = Duration::from_secs(90);
const KILL_MAX: Duration = Duration::from_secs(30);

/// Runs the node as a controller alone, and unregisters the dead broker there: every partition
/// then has no leader until the broker starts again.
///
/// Kafka 4.3.1 takes a partition without a leader for a deleted one. A coordinator of transactions
/// that starts from metadata in which the dead broker still leads has nobody to send markers to as
/// soon as that broker is found dead, and skips the markers of transactions that were ending: what
/// was aborted appears, or what was committed is lost. With several brokers another one leads by
/// then; ours is alone. So it is declared dead first, and the coordinator starts together with the
/// leaders.
///
/// Waiting for the end of the broker's session would do, too. But the session must be long: a
/// frozen broker that is declared dead when it thaws meets the same fault.
pub(super) async fn unregister(node: &Node) -> Result<(), Error> {
    let controller = Server::new(
        "Kafka's controller",
        node.controller_command(),
        node.controller_log(),
    );
    controller.spawn()?;
    // The tool itself waits for the controller to come up.
    let tool = node.unregister_command();
    run_to_end(
        "Kafka's unregister",
        tool,
        &node.unregister_log(),
        UNREGISTER_MAX,
    )
    .await
    .map_err(|error| controller.with_log(&error))?;
    // It answered once the record was written, and a kill of a process loses nothing written.
    controller.signal(Signal::Kill, Target::Tree)?;
    controller.ended(KILL_MAX).await.map(drop)
}
