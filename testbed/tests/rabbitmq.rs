//! RabbitMQ as tests need it: survives what they do to it.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::time::Duration;

use testbed::RabbitServer;
use testbed::history::take_queue;
use testbed::provision::RabbitVersion;

/// How long a queue may take to come back.
const SOON: Duration = Duration::from_secs(60);
/// How long a frozen node is asked for an answer.
const FROZEN: Duration = Duration::from_secs(2);

async fn vhosts(rabbit: &RabbitServer) -> Vec<String> {
    let listed = rabbit.control(&["list_vhosts", "--silent"]).await.unwrap();
    listed.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn what_it_knows_survives_a_kill_and_a_stop() {
    let rabbit = RabbitServer::start().await.unwrap();
    rabbit.control(&["add_vhost", "kept"]).await.unwrap();
    rabbit.kill().await.unwrap();
    rabbit.restart().await.unwrap();
    assert!(vhosts(&rabbit).await.contains(&"kept".to_owned()));
    rabbit.stop().await.unwrap();
    rabbit.restart().await.unwrap();
    assert!(vhosts(&rabbit).await.contains(&"kept".to_owned()));
}

#[tokio::test]
async fn the_version_that_was_asked_for_runs_and_mounts_nothing_that_others_see() {
    let rabbit = RabbitServer::start().await.unwrap();
    let version = rabbit.control(&["version"]).await.unwrap();
    if RabbitVersion::from_environment().unwrap() == RabbitVersion::V4 {
        assert!(version.trim().starts_with("4."), "{version}");
    }
    let directory = rabbit.log().parent().unwrap().to_owned();
    assert!(directory.join("data").is_dir(), "its files are in reach");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    assert!(
        !mounts.contains("debian-trixie") && !mounts.contains(directory.to_str().unwrap()),
        "{mounts}"
    );
    drop(rabbit);
    assert!(!directory.exists(), "{}", directory.display());
}

#[tokio::test]
async fn a_frozen_node_answers_once_it_is_thawed() {
    let rabbit = RabbitServer::start().await.unwrap();
    rabbit.freeze().unwrap();
    let address = rabbit.address();
    let early = tokio::time::timeout(FROZEN, address.channel()).await;
    assert!(early.is_err(), "it answers although it is frozen");
    rabbit.thaw().unwrap();
    address.channel().await.unwrap();
}

#[tokio::test]
async fn an_order_that_fails_says_why() {
    let rabbit = RabbitServer::start().await.unwrap();
    let error = rabbit.control(&["delete_vhost", "none"]).await.unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}

#[tokio::test]
async fn a_queue_that_was_just_made_survives_a_kill() {
    for kind in ["quorum", "classic"] {
        let rabbit = RabbitServer::start().await.unwrap();
        let queue = rabbit.create_queue(kind).await.unwrap();
        rabbit.kill().await.unwrap();
        rabbit.restart().await.unwrap();
        let address = rabbit.address();
        let read = take_queue(&address, &queue, SOON).await;
        assert_eq!(read.unwrap(), [], "{kind}");
    }
}
