//! What a broker refuses is set aside, seen, and comes back once its cause is mended.

use crate::broker::Kind;
use crate::trials::stuck_mix::{StuckMix, stuck_mix};

/// Small enough for every change.
const SOME: StuckMix = StuckMix {
    kind: Kind::KafkaExactlyOnce,
    policy: "park-key",
    messages: 10_000,
    poison: 50,
    kills: 3,
};

#[tokio::test]
async fn refused_messages_come_back_from_kafka_in_the_order_of_their_keys() {
    stuck_mix(SOME).await;
}

#[tokio::test]
async fn refused_messages_come_back_alone_where_their_keys_do_not_wait() {
    stuck_mix(StuckMix {
        policy: "park",
        messages: 5000,
        ..SOME
    })
    .await;
}

#[tokio::test]
async fn refused_messages_come_back_from_a_queue_in_the_order_of_their_keys() {
    stuck_mix(StuckMix {
        kind: Kind::ClassicQueue,
        messages: 5000,
        ..SOME
    })
    .await;
}

#[tokio::test]
async fn refused_messages_come_back_from_a_stream_in_the_order_of_their_keys() {
    stuck_mix(StuckMix {
        kind: Kind::Stream,
        messages: 5000,
        ..SOME
    })
    .await;
}
