//! Many topics, many keys: what the relay remembers does not grow with either.

use crate::trials::many_keys::many_keys;
use crate::trials::many_topics::many_topics;

#[tokio::test]
async fn a_hundred_topics_get_their_messages_in_bounded_memory() {
    many_topics(100).await;
}

#[tokio::test]
async fn fifty_thousand_keys_take_no_memory() {
    many_keys(50_000).await;
}
