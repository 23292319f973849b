//! What is RabbitMQ's own: alarms, routes, what it refuses.

use std::time::Duration;

use testbed::RabbitServer;

use crate::scenario::observation::lines;
use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;
use crate::trials::alarm::{Alarm, alarm};

async fn scenario_on(rabbit: &RabbitServer) -> Scenario {
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, Target::queue(rabbit, "classic").await).await;
    scenario.init(&[]).await;
    scenario
}

#[tokio::test]
async fn a_memory_alarm_pauses_publishing_says_so_and_passes() {
    alarm(Alarm::Memory, Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_disk_alarm_pauses_publishing_says_so_and_passes() {
    alarm(Alarm::Disk, Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_message_without_a_queue_halts_the_relay_before_it_and_goes_once_there_is_one() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = scenario_on(rabbit).await;
    let client = scenario.client().await;
    let relay = scenario.start_with(&["stuck.policy=halt"]);
    scenario.phase("active").await;
    scenario.enqueue(&client, 0..10).await;
    let missing = testbed::unique::name("missing");
    let insert = "insert into outbox.message (destination, type, payload) values ($1, 'T', '')";
    client.execute(insert, &[&missing]).await.unwrap();
    scenario.enqueue(&client, 10..20).await;
    let status = scenario
        .status_where("held", |status| status["held"].is_object())
        .await;
    assert_eq!(status["held"]["reason"], "destination-missing", "{status}");
    assert_eq!(status["held"]["destination"], missing.as_str());
    let (code, why) = scenario.get("/ready").await.unwrap();
    assert_eq!(code, 503);
    assert!(why.contains(&missing), "{why}");
    let halted = lines(
        &relay,
        "a message was refused for itself: publishing has halted before it",
    );
    assert_eq!(halted.len(), 1);
    rabbit
        .address()
        .create_queue(&missing, "classic")
        .await
        .unwrap();
    relay.kill().await.unwrap();
    relay.restart().unwrap();
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
    let there = testbed::history::take_queue(&rabbit.address(), &missing, DEADLINE).await;
    assert_eq!(there.unwrap().len(), 1);
}

#[tokio::test]
async fn a_relay_that_was_set_up_for_another_sink_publishes_nothing() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = scenario_on(rabbit).await;
    let kafka = testbed::shared_kafka().await.unwrap();
    let other = Target::kafka(kafka).await;
    let text = scenario.configuration();
    scenario.configure(&text.replace(&scenario.target.section(), &other.section()));
    let ran = scenario.command(&["init"], &[]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let said = "the relay was set up for rabbitmq at-least-once, the configuration says kafka \
                exactly-once";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    let ran = scenario.run_to_end().await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[tokio::test]
async fn a_relay_that_was_set_up_for_another_delivery_publishes_nothing() {
    let postgres = testbed::shared_postgres().await.unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::to(postgres, Target::kafka(kafka).await).await;
    scenario.init(&[]).await;
    let text = scenario.configuration();
    scenario.configure(&text.replace("\"exactly-once\"", "\"at-least-once\""));
    for command in ["init", "run"] {
        let ran = scenario.command(&[command], &[]).await;
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        let said = "set up for kafka exactly-once, the configuration says kafka at-least-once";
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn a_checkpoint_that_is_gone_or_altered_in_the_database_ends_with_exit_5() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = scenario_on(rabbit).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    relay.kill().await.unwrap();
    scenario.enqueue(&client, 10..20).await;
    for (sql, said) in [
        (
            "replace(checkpoint, '0', '1')",
            "the checkpoint cannot be read",
        ),
        ("null, checkpoint_sequence = null", "the checkpoint is gone"),
    ] {
        let sql = format!("update outbox.relay set checkpoint = {sql} where name = $1");
        client.execute(&sql, &[&scenario.relay]).await.unwrap();
        scenario.check(3).await;
        let ran = scenario.run_to_end().await;
        assert_eq!(ran.code, Some(5), "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_idle_relay_follows_the_log() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = scenario_on(rabbit).await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    let noise = "create table noise (t text); \
                 insert into noise select repeat('x', 1000) from generate_series(1, 20000)";
    client.batch_execute(noise).await.unwrap();
    scenario.drained(&client).await;
    let covered = scenario.checkpoint().await.unwrap().frontier.lsn;
    assert!(scenario.confirmed(&client).await <= covered);
}

#[tokio::test]
async fn check_finds_what_would_be_lost_or_refused() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = scenario_on(rabbit).await;
    let queue = scenario.target.destination();
    let said = scenario.check(0).await;
    assert!(said.contains("outbox-"), "{said}");

    let with = |routes: &str, destinations: &str| {
        let text = scenario.configuration();
        let text = text.replace("[http]", &format!("{routes}[http]"));
        let name = format!("name = \"{}\"\n", scenario.relay);
        scenario
            .configure(&text.replace(&name, &format!("{name}destinations = [{destinations}]\n")));
    };
    let missing = testbed::unique::name("missing");
    let route = format!(
        "[[rabbitmq.routes]]\ndestination = \"policy-*\"\nexchange = \"{missing}\"\n\
         routing_key = \"{{type}}\"\n"
    );
    let quorum = rabbit.create_queue("quorum").await.unwrap();
    with(
        &route,
        &format!("\"{queue}\", \"{quorum}\", \"{missing}\", \"policy-a\""),
    );
    let said = scenario.check(3).await;
    for finding in [
        format!("{missing} does not exist: its first message is refused"),
        format!("{missing} does not exist: the first message to it is refused"),
        format!("{queue} is a classic queue"),
        format!("{quorum} drops a message that was redelivered 20 times"),
    ] {
        assert!(said.contains(&finding), "{finding:?} is not in\n{said}");
    }

    let text = scenario.configuration();
    scenario.configure(&text.replace("guest:guest@", "guest:wrong@"));
    let said = scenario.check(3).await;
    assert!(said.contains("check user and password"), "{said}");
    assert!(!said.contains("wrong"), "{said}");
    scenario.configure(&text.replace("/%2f", "/elsewhere"));
    let said = scenario.check(3).await;
    assert!(said.contains("check the vhost"), "{said}");
}

/// The key holds addresses that refuse the relay: with one behind them that takes it, and without.
async fn some_brokers_refuse(target: Target, key: &str, url_of: impl Fn(&str, &str) -> String) {
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, target).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let refused = [url_of("mistyped", "%2f"), url_of("guest", "elsewhere")].join(",");
    let some = format!("{key}={refused},{}", url_of("guest", "%2f"));
    let relay = scenario.start_with(&[&some]);
    scenario.phase("active").await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));

    let none = format!("{key}={refused}");
    let ran = scenario.run_to_end_with(&[&none]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for said in ["check user and password", "check the vhost"] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn a_broker_that_refuses_a_relay_to_queues_counts_only_when_none_takes_it() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let target = Target::queue(rabbit, "classic").await;
    let url_of = |password: &str, vhost: &str| rabbit.url_of("guest", password, vhost);
    some_brokers_refuse(target, "rabbitmq.urls", url_of).await;
}

#[tokio::test]
async fn a_broker_that_refuses_a_relay_to_streams_counts_only_when_none_takes_it() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let target = Target::stream(rabbit).await;
    let url_of = |password: &str, vhost: &str| rabbit.stream_url_of("guest", password, vhost);
    some_brokers_refuse(target, "rabbitmq_stream.urls", url_of).await;
}
