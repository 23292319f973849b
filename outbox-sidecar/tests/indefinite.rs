//! Requests that are late, lost or answered in vain: each message is seen once.

use crate::trials::indefinite::indefinite;

#[tokio::test]
async fn each_message_is_seen_once_whatever_becomes_of_requests_and_answers() {
    indefinite(20, 4).await;
}
