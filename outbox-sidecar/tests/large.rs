//! A transaction larger than any batch.

use crate::trials::large_transaction::one_transaction_with_kills;

#[tokio::test]
async fn the_rows_of_one_large_transaction_are_seen_once_despite_kills() {
    one_transaction_with_kills(100_000, 3).await;
}
