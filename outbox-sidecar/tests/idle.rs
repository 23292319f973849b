//! A quiet outbox beside a busy table: the slot follows.

use crate::trials::busy_neighbour::busy_neighbour;

#[tokio::test]
async fn the_slot_follows_a_busy_neighbour() {
    busy_neighbour(300).await;
}
