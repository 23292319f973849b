//! What `rabbitmqctl` does to a node.

use std::time::Duration;

use crate::error::Error;
use crate::rabbitmq::node::Node;
use crate::server::run_to_end;
use crate::unique;

const CONTROL_MAX: Duration = Duration::from_secs(60);

/// Runs `rabbitmqctl` with these arguments, and returns what it printed.
pub(super) async fn control(node: &Node, arguments: &[&str]) -> Result<String, Error> {
    let log = node.control_log(&unique::name("rabbitmqctl"));
    let command = node.control_command(arguments);
    run_to_end("rabbitmqctl", command, &log, CONTROL_MAX).await?;
    std::fs::read_to_string(&log).map_err(Error::because("rabbitmqctl's output cannot be read"))
}
