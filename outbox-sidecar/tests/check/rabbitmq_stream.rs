//! Faults of RabbitMQ's streams: what is missing, and rights.

use testbed::{RabbitServer, unique};

use super::finds;
use super::rabbitmq::{NOTHING, PASSWORD, new_user, permit};
use crate::scenario::Scenario;
use crate::target::Target;

/// A relay to streams that is set up.
async fn initialised(rabbit: &RabbitServer) -> Scenario {
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, Target::stream(rabbit).await).await;
    scenario.init(&[]).await;
    scenario
}

#[tokio::test]
async fn a_missing_stream_is_named_until_it_is_made() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let stream = unique::name("missing");
    let named = format!("relay.destinations={stream}");
    let says = format!("{stream} does not exist: its first message is refused");
    finds(&scenario, &[&named], ("error", "stream"), &says).await;
    let makes = "rabbitmq_stream.create_streams=true";
    let says = format!("{stream} will be made with its first message");
    finds(&scenario, &[&named, makes], ("ok", "stream"), &says).await;
    let address = rabbit.address();
    address.create_queue(&stream, "stream").await.unwrap();
    finds(&scenario, &[&named], ("ok", "stream"), &stream).await;
}

#[tokio::test]
async fn a_super_stream_is_known_with_its_partitions() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let name = unique::name("super");
    let making = ["add_super_stream", &name, "--partitions", "3"];
    rabbit.streams(&making).await.unwrap();
    let named = format!("relay.destinations={name}");
    let says = format!("{name}, of 3 partitions");
    finds(&scenario, &[&named], ("ok", "stream"), &says).await;
}

#[tokio::test]
async fn a_missing_stream_for_the_checkpoints_copies_is_named_until_init_makes_it() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let stream = unique::name("missing");
    let setting = format!("rabbitmq_stream.checkpoint_stream={stream}");
    let subject = "checkpoint_stream";
    let says =
        format!("stream \"{stream}\", which shows whether the database was set back, does not");
    finds(&scenario, &[&setting], ("error", subject), &says).await;
    scenario.init(&["--set", &setting]).await;
    finds(&scenario, &[&setting], ("ok", subject), &stream).await;
}

#[tokio::test]
async fn rights_that_are_missing_on_the_stream_for_the_checkpoints_copies_are_named() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let user = new_user(rabbit).await;
    let url = rabbit.stream_url_of(&user, PASSWORD, "%2f");
    let url = format!("rabbitmq_stream.url={url}");
    let subject = "checkpoint_stream";
    let right = "^outbox-checkpoints$";
    for (rights, doing) in [
        (
            [NOTHING, right, NOTHING],
            "asking for the last publishing id in",
        ),
        ([NOTHING, NOTHING, right], "becoming a publisher of"),
    ] {
        permit(rabbit, &user, rights).await;
        let says = format!("{doing} stream \"outbox-checkpoints\": access refused");
        finds(&scenario, &[&url], ("error", subject), &says).await;
    }
    // To write and to read are enough, as the fix says.
    permit(rabbit, &user, [NOTHING, right, right]).await;
    finds(&scenario, &[&url], ("ok", subject), "outbox-checkpoints").await;
}

#[tokio::test]
async fn a_stream_that_may_not_be_written_to_is_named_until_it_may() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let user = new_user(rabbit).await;
    let url = rabbit.stream_url_of(&user, PASSWORD, "%2f");
    let url = format!("rabbitmq_stream.url={url}");
    let stream = scenario.target.destination();
    let named = format!("relay.destinations={stream}");
    let settings = [url.as_str(), named.as_str()];
    let (reads, writes) = ("^.*$", format!("^{stream}$"));
    permit(rabbit, &user, [NOTHING, NOTHING, reads]).await;
    let says = format!("{stream}: its messages would be set aside: becoming a publisher");
    finds(&scenario, &settings, ("error", "right to write"), &says).await;
    permit(rabbit, &user, [NOTHING, &writes, reads]).await;
    finds(&scenario, &settings, ("ok", "right to write"), stream).await;
    assert!(scenario.records().await.is_empty(), "nothing was published");
}
