use outbox_core::MessageId;
use outbox_core::relay::StuckPolicy;
use outbox_core::sink::RefusalReason;

use super::relay::{Outbox, SOON};

pub(super) const KEYS: u32 = 40;
const REFUSED: u32 = 37;

impl Outbox {
    /// Messages `from` to `to` in one transaction, of [`KEYS`] keys in turn; every
    /// [`REFUSED`]th is refused.
    pub(super) async fn write(&self, from: u32, to: u32) {
        let sql = format!(
            "insert into outbox.message (destination, key, type, payload)
             select 'd', 'k' || n % {KEYS}, 'T', convert_to(n::text, 'UTF8')
             from generate_series($1::int8, $2::int8) as n
             returning id, convert_from(payload, 'UTF8')::int8 % {REFUSED} = 0"
        );
        self.client.batch_execute("begin").await.unwrap();
        let (first, last) = (i64::from(from), i64::from(to));
        let rows = self.client.query(&sql, &[&first, &last]).await.unwrap();
        for row in rows.iter().filter(|row| row.get(1)) {
            let id = MessageId::from(row.get::<_, uuid::Uuid>(0));
            self.broker.refuse(id, RefusalReason::TooLarge);
        }
        self.client.batch_execute("commit").await.unwrap();
    }

    /// The same, and none of them is refused.
    pub(super) async fn write_fine(&self, from: u32, to: u32) {
        let sql = format!(
            "insert into outbox.message (destination, key, type, payload)
             select 'd', 'k' || n % {KEYS}, 'T', convert_to(n::text, 'UTF8')
             from generate_series({from}, {to}) as n"
        );
        self.client.batch_execute(&sql).await.unwrap();
    }

    /// Waits until so many are published or set aside.
    pub(super) async fn settled(&self, count: usize) -> (Vec<u32>, Vec<u32>) {
        testbed::wait::until("everything is settled", SOON, async || {
            let (published, parked) = self.outcome().await;
            published.len() + parked.len() >= count
        })
        .await
        .unwrap();
        self.outcome().await
    }
}

/// What `park-key` makes of 1 to `last`: a key is published up to its first refused message.
fn by_key(last: u32) -> (Vec<u32>, Vec<u32>) {
    let mut blocked = [false; KEYS as usize];
    (1..=last).partition(|number| {
        let blocked = &mut blocked[(*number % KEYS) as usize];
        *blocked |= number % REFUSED == 0;
        !*blocked
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_published_up_to_its_first_refused_message_and_the_rest_waits_in_order() {
    let outbox = Outbox::new().await;
    let running = outbox.run(StuckPolicy::ParkKey);
    outbox.write(1, 100).await;
    assert_eq!(outbox.settled(100).await, by_key(100));
    // What is known of blocked keys survives the relay.
    running.stop().await;
    let running = outbox.run(StuckPolicy::ParkKey);
    outbox.write(101, 300).await;
    assert_eq!(outbox.settled(300).await, by_key(300));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn park_sets_only_the_refused_messages_aside() {
    let outbox = Outbox::new().await;
    let running = outbox.run(StuckPolicy::Park);
    outbox.write(1, 200).await;
    let (parked, published): (Vec<u32>, Vec<u32>) =
        (1..=200).partition(|number| number % REFUSED == 0);
    assert_eq!(outbox.settled(200).await, (published, parked));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_each_message_is_published_or_set_aside_once() {
    const TRANSACTIONS: u32 = 60;
    const EACH: u32 = 10;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let outbox = Outbox::new().await;
    let mut running = Some(outbox.run(StuckPolicy::ParkKey));
    for transaction in 0..TRANSACTIONS {
        outbox
            .write(transaction * EACH + 1, (transaction + 1) * EACH)
            .await;
        if random.u32(..6) == 0
            && let Some(killed) = running.take()
        {
            if random.bool() {
                outbox.settled((transaction * EACH) as usize).await;
            }
            killed.kill().await;
            // What was set aside stays so, though the broker would take it now.
            outbox.broker.refuse_no_more();
            running = Some(outbox.run(StuckPolicy::ParkKey));
        }
    }
    let count = TRANSACTIONS * EACH;
    let (published, parked) = outbox.settled(count as usize).await;
    let mut all = [&published[..], &parked[..]].concat();
    all.sort_unstable();
    assert_eq!(all, (1..=count).collect::<Vec<_>>(), "each once");
    are_in_order(&[&published[..], &parked[..]].concat());
    running.unwrap().stop().await;
}

/// Of each key.
pub(super) fn are_in_order(numbers: &[u32]) {
    for key in 0..KEYS {
        let of_key = |number: &&u32| **number % KEYS == key;
        let in_order: Vec<_> = numbers.iter().filter(of_key).collect();
        assert!(in_order.is_sorted(), "key {key}: {in_order:?}");
    }
}
