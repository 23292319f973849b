//! What was set aside comes back, while the relay runs, is killed, or is not there at all.

use outbox_core::relay::StuckPolicy;

use super::parking::are_in_order;
use super::relay::{Outbox, SOON};

impl Outbox {
    /// Asks for everything that waits; says how much that is.
    async fn ask_for_all(&self, kind: &str) -> u64 {
        let sql = "with request as (
                       insert into outbox.request (relay, kind, chosen)
                       select 'tests', $1, count(*) from outbox.parked where state = 'waiting'
                       returning id
                   ), numbered as (
                       select relay, system_id, commit_lsn, index,
                              row_number() over (order by commit_lsn, index) - 1 as number
                       from outbox.parked where state = 'waiting'
                   )
                   update outbox.parked as p
                   set state = 'replaying', request = request.id, request_index = n.number,
                       replays = p.replays + 1
                   from numbered as n, request
                   where p.state = 'waiting'
                     and (p.relay, p.system_id, p.commit_lsn, p.index)
                         = (n.relay, n.system_id, n.commit_lsn, n.index)";
        self.client.execute(sql, &[&kind]).await.unwrap()
    }

    /// Waits until every request is done.
    async fn done(&self) {
        let sql = "select not exists (select from outbox.request where state <> 'done')";
        testbed::wait::until("every request is done", SOON, async || {
            self.client.query_one(sql, &[]).await.unwrap().get(0)
        })
        .await
        .unwrap();
    }

    /// Which of the published messages say that they are replays, and for the how-manieth time.
    fn replays(&self) -> Vec<u32> {
        let published = self.broker.messages();
        let replays = published
            .iter()
            .filter_map(|delivery| delivery.replay.as_ref());
        replays.map(|replay| replay.number).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_published_and_its_keys_go_on() {
    let outbox = Outbox::new().await;
    let running = outbox.run(StuckPolicy::ParkKey);
    outbox.write(1, 300).await;
    let (_, parked) = outbox.settled(300).await;
    assert!(!parked.is_empty());
    outbox.broker.refuse_no_more();
    let asked = outbox.ask_for_all("replay").await;
    assert_eq!(asked, parked.len() as u64);
    outbox.done().await;
    assert_eq!(outbox.replays().len(), parked.len());
    outbox.write_fine(301, 600).await;
    let (published, parked) = outbox.settled(600).await;
    assert!(parked.is_empty());
    are_in_order(&published);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_again_waits_on_and_is_counted() {
    let outbox = Outbox::new().await;
    let running = outbox.run(StuckPolicy::ParkKey);
    outbox.write(1, 300).await;
    let before = outbox.settled(300).await;
    outbox.ask_for_all("replay").await;
    outbox.done().await;
    // What was refused is refused again, and what stands behind it waits again.
    assert_eq!(outbox.outcome().await, before);
    let counted =
        "select max(attempts), min(replays) from outbox.parked where reason = 'too-large'";
    let row = outbox.client.query_one(counted, &[]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (2, 1));
    outbox.broker.refuse_no_more();
    outbox.ask_for_all("replay").await;
    outbox.done().await;
    let (published, parked) = outbox.outcome().await;
    assert_eq!((published.len(), parked.len()), (300, 0));
    are_in_order(&published);
    assert!(outbox.replays().iter().all(|number| *number == 2));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_skipped_never_comes_and_lets_its_key_go_on() {
    let outbox = Outbox::new().await;
    let running = outbox.run(StuckPolicy::ParkKey);
    outbox.write(1, 300).await;
    let (_, parked) = outbox.settled(300).await;
    outbox.ask_for_all("skip").await;
    outbox.done().await;
    outbox.write_fine(301, 400).await;
    let count = 400 - parked.len();
    let (published, rest) = outbox.settled(count).await;
    assert_eq!((published.len(), rest.len()), (count, 0));
    assert!(parked.iter().all(|number| !published.contains(number)));
    are_in_order(&published);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_a_relay_that_is_not_there() {
    let outbox = Outbox::new().await;
    let running = outbox.run(StuckPolicy::ParkKey);
    outbox.write(1, 100).await;
    outbox.settled(100).await;
    running.stop().await;
    outbox.broker.refuse_no_more();
    outbox.ask_for_all("replay").await;
    let running = outbox.run(StuckPolicy::Halt);
    outbox.done().await;
    let (published, parked) = outbox.outcome().await;
    assert_eq!((published.len(), parked.len()), (100, 0));
    are_in_order(&published);
    running.stop().await;
}

/// Messages keep coming, the relay is killed again and again, what was refused is mended and asked for
/// at any moment: in the end everything was published once, each key in its order.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_replays_each_message_comes_once_and_nothing_overtakes() {
    const TRANSACTIONS: u32 = 80;
    const EACH: u32 = 10;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let outbox = Outbox::new().await;
    let mut running = Some(outbox.run(StuckPolicy::ParkKey));
    for transaction in 0..TRANSACTIONS {
        let (from, to) = (transaction * EACH + 1, (transaction + 1) * EACH);
        outbox.write(from, to).await;
        match random.u32(..4) {
            0 => drop(outbox.settled(to as usize).await),
            1 => {
                outbox.settled(to as usize).await;
                outbox.broker.refuse_no_more();
                outbox.ask_for_all("replay").await;
            }
            2 => drop(outbox.ask_for_all("replay").await),
            _ => {}
        }
        if random.u32(..6) == 0
            && let Some(killed) = running.take()
        {
            killed.kill().await;
            running = Some(outbox.run(StuckPolicy::ParkKey));
        }
    }
    outbox.broker.refuse_no_more();
    let count = TRANSACTIONS * EACH;
    testbed::wait::until("nothing waits", SOON, async || {
        outbox.settled(count as usize).await;
        outbox.ask_for_all("replay").await;
        outbox.done().await;
        outbox.outcome().await.0.len() == count as usize
    })
    .await
    .unwrap();
    let (mut published, _) = outbox.outcome().await;
    are_in_order(&published);
    published.sort_unstable();
    assert_eq!(published, (1..=count).collect::<Vec<_>>(), "each once");
    assert!(!outbox.replays().is_empty());
    running.unwrap().stop().await;
}
