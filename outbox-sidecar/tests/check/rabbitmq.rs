//! Faults of the connection to RabbitMQ.

use super::{findings, finds};
use crate::scenario::Scenario;
use crate::target::Target;

#[tokio::test]
async fn a_password_that_crosses_the_network_in_clear_is_warned_of() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    // Nobody has such a name: it is warned of before it is looked up.
    for (target, url) in [
        (
            Target::queue(rabbit, "quorum").await,
            "rabbitmq.url=amqp://relay:secret@mq.invalid/%2f",
        ),
        (
            Target::stream(rabbit).await,
            "rabbitmq_stream.url=rabbitmq-stream://relay:secret@mq.invalid/%2f",
        ),
    ] {
        let scenario = Scenario::to(postgres, target).await;
        let (subject, _) = url.split_once(".url").unwrap();
        let says = "without TLS: whoever listens on the way reads the password";
        finds(&scenario, &[url], ("warning", subject), says).await;
        // On this machine nobody does.
        let (found, _) = findings(&scenario, &[]).await;
        let warned = |finding: &serde_json::Value| {
            let message = finding["message"].as_str();
            message.is_some_and(|message| message.contains("without TLS"))
        };
        assert!(!found.iter().any(warned), "{found:#?}");
    }
}
