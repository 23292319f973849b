//! What `rabbitmqctl` and its like do to a node.

use std::time::Duration;

use crate::error::Error;
use crate::rabbitmq::node::Node;
use crate::server::run_to_end;
use crate::unique;

const CONTROL_MAX: Duration = Duration::from_secs(60);

/// Runs a tool (`rabbitmqctl`, `rabbitmq-streams`) with these arguments, and returns what it
/// printed.
pub(super) async fn control(
    node: &Node,
    tool: &'static str,
    arguments: &[&str],
) -> Result<String, Error> {
    let log = node.control_log(&unique::name(tool));
    let command = node.control_command(tool, arguments);
    run_to_end(tool, command, &log, CONTROL_MAX).await?;
    std::fs::read_to_string(&log).map_err(Error::because(format!(
        "the output of {tool} cannot be read"
    )))
}
