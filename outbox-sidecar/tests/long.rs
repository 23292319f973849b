//! The long tier: what takes too many minutes for every change.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    reason = "shares its modules with the ordinary tier, and needs a part of each"
)]

use std::time::Duration;

mod broker;
mod scenario;
mod target;
mod trials;
mod twin;

use broker::Kind;
use trials::alarm::{Alarm, alarm};
use trials::audit::audit;
use trials::busy_neighbour::busy_neighbour;
use trials::crash_mix::{Kills, crash_mix};
use trials::indefinite::indefinite;
use trials::large_audit::large_audit;
use trials::large_transaction::one_transaction_with_kills;
use trials::many_keys::many_keys;
use trials::many_topics::many_topics;
use trials::stuck_mix::{StuckMix, stuck_mix};
use trials::zombies::{busy_holder, zombies};

#[tokio::test]
async fn each_message_is_seen_once_whatever_is_killed_for_long() {
    let kills = Kills {
        relay: 100,
        broker: 5,
        postgres: 5,
    };
    crash_mix(Kind::KafkaExactlyOnce, 200_000, kills).await;
}

#[tokio::test]
async fn each_message_is_seen_once_whatever_becomes_of_requests_and_answers_for_long() {
    indefinite(200, 50).await;
}

/// Of a relay to RabbitMQ, and of its node.
const RABBITMQ_KILLS: Kills = Kills {
    relay: 10,
    broker: 5,
    postgres: 0,
};

#[tokio::test]
async fn a_classic_queue_loses_nothing_whatever_is_killed_for_long() {
    crash_mix(Kind::ClassicQueue, 50_000, RABBITMQ_KILLS).await;
}

#[tokio::test]
async fn a_quorum_queue_loses_nothing_whatever_is_killed_for_long() {
    crash_mix(Kind::QuorumQueue, 50_000, RABBITMQ_KILLS).await;
}

#[tokio::test]
async fn a_stream_holds_each_message_once_whatever_is_killed_for_long() {
    crash_mix(Kind::Stream, 50_000, RABBITMQ_KILLS).await;
}

#[tokio::test]
async fn kafka_at_least_once_loses_nothing_whatever_is_killed_for_long() {
    let kills = Kills {
        relay: 20,
        broker: 3,
        postgres: 3,
    };
    crash_mix(Kind::KafkaAtLeastOnce, 50_000, kills).await;
}

#[tokio::test]
async fn a_memory_alarm_of_half_a_minute_pauses_publishing_and_passes() {
    alarm(Alarm::Memory, Duration::from_secs(30)).await;
}

#[tokio::test]
async fn the_slot_follows_a_gigabyte_of_foreign_log() {
    busy_neighbour(1024).await;
}

#[tokio::test]
async fn a_transaction_of_a_million_rows_is_resumed_in_its_middle() {
    one_transaction_with_kills(1_000_000, 5).await;
}

#[tokio::test]
async fn a_million_keys_take_no_memory() {
    many_keys(1_000_000).await;
}

#[tokio::test]
async fn a_thousand_topics_get_their_messages_in_bounded_memory() {
    many_topics(1000).await;
}

#[tokio::test]
async fn relays_that_freeze_in_turn_under_load_publish_each_message_once_for_long() {
    zombies(10).await;
}

#[tokio::test]
async fn a_holder_in_the_middle_of_three_million_rows_is_left_alone() {
    busy_holder(3_000_000).await;
}

#[tokio::test]
async fn faults_among_a_million_messages_are_found_in_bounded_memory() {
    audit(1_000_000).await;
}

/// A hundred thousand messages over a thousand keys, fifty of them refused for themselves.
const REFUSED: StuckMix = StuckMix {
    kind: Kind::KafkaExactlyOnce,
    policy: "park-key",
    messages: 100_000,
    poison: 50,
    kills: 10,
};

#[tokio::test]
async fn refused_messages_come_back_from_kafka_in_the_order_of_their_keys_for_long() {
    stuck_mix(REFUSED).await;
}

#[tokio::test]
async fn refused_messages_come_back_alone_where_their_keys_do_not_wait_for_long() {
    stuck_mix(StuckMix {
        policy: "park",
        ..REFUSED
    })
    .await;
}

#[tokio::test]
async fn a_relay_that_halts_publishes_what_stands_before_and_goes_on_there_for_long() {
    for kind in [Kind::KafkaExactlyOnce, Kind::QuorumQueue, Kind::Stream] {
        stuck_mix(StuckMix {
            kind,
            policy: "halt",
            ..REFUSED
        })
        .await;
    }
}

#[tokio::test]
async fn refused_messages_come_back_from_a_queue_in_the_order_of_their_keys_for_long() {
    stuck_mix(StuckMix {
        kind: Kind::QuorumQueue,
        ..REFUSED
    })
    .await;
}

#[tokio::test]
async fn refused_messages_come_back_from_a_stream_in_the_order_of_their_keys_for_long() {
    stuck_mix(StuckMix {
        kind: Kind::Stream,
        ..REFUSED
    })
    .await;
}

/// As many as are enqueued, published and compared within about four minutes by a debug build.
/// `OUTBOX_TEST_MESSAGES` sets another number.
const AUDITED: usize = 5_000_000;

#[tokio::test]
async fn millions_of_messages_and_what_was_set_aside_are_compared_in_bounded_memory() {
    let asked = std::env::var("OUTBOX_TEST_MESSAGES").ok();
    let messages = asked.map_or(AUDITED, |text| text.parse().unwrap());
    large_audit(messages).await;
}
