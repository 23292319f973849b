//! A transaction larger than any batch.

use crate::trials::large_transaction::one_transaction_with_kills;

#[tokio::test]
async fn a_large_transaction_is_resumed_in_its_middle() {
    one_transaction_with_kills(100_000, 3).await;
}
