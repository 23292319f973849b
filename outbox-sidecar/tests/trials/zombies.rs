//! Relays that freeze for longer than their transactions may take, and wake beside their successor.

use std::time::{Duration, Instant};

use testbed::Program;
use testbed::history::{WriterPlan, Writers, check};

use crate::scenario::observation::{assert_calm, lines};
use crate::scenario::{Scenario, seed};
use crate::twin::Twin;

/// Kafka's `transaction.timeout.ms` of these relays.
const TRANSACTION_MAX: Duration = Duration::from_secs(5);
/// What is enqueued while one relay of the three is frozen.
const MESSAGES_A_ROUND: usize = 3_000;

/// Three relays of one name under load: in each round the active one freezes in the middle of its work,
/// for longer than its transaction may stay open. Another takes over; the frozen one wakes, makes nothing
/// visible, and stands by.
pub(crate) async fn zombies(rounds: usize) {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let scenario = Scenario::shared().await;
    let setting = format!(
        "\"transaction.timeout.ms\" = \"{}\"\n[http]",
        TRANSACTION_MAX.as_millis()
    );
    scenario.configure(&scenario.configuration().replace("[http]", &setting));
    scenario.init(&[]).await;
    let mut relays = vec![Twin::start(&scenario)];
    relays[0].phase("active").await;
    for _ in 0..2 {
        relays.push(Twin::standing_by(&scenario).await);
    }
    let mut plan = WriterPlan::new(seed, &scenario.topic().name);
    plan.messages = MESSAGES_A_ROUND * rounds;
    plan.pause_max = Duration::from_millis(1500);
    let writers = Writers::start(&scenario.database_url, &plan);
    let mut active = 0;
    for round in 0..rounds {
        // No wait for anything: the random moment at which the fault comes.
        tokio::time::sleep(Duration::from_millis(random.u64(0..500))).await;
        let frozen = Instant::now();
        relays[active].program.freeze().unwrap();
        let next = becomes_active(&relays, active).await;
        println!("round {round}: taken over after {:?}", frozen.elapsed());
        // The fault goes on until the broker would have given the transaction up by itself.
        let rest = (TRANSACTION_MAX + Duration::from_secs(1)).saturating_sub(frozen.elapsed());
        tokio::time::sleep(rest).await;
        relays[active].program.thaw().unwrap();
        relays[active].phase("standby").await;
        active = next;
    }
    let history = writers.finish().await.unwrap();
    scenario.drained(&scenario.client().await).await;
    let report = check(&history, &scenario.records().await);
    println!("{report}");
    assert!(report.is_exactly_once(), "seed {seed}:\n{report}");
    let activations = |relay: &Program| lines(relay, "active").len();
    let all: usize = relays.iter().map(|relay| activations(&relay.program)).sum();
    assert!(all > rounds, "{all} activations in {rounds} rounds");
    for relay in &relays {
        assert_calm(&relay.program);
    }
}

/// Which of the others takes over.
async fn becomes_active(relays: &[Twin], frozen: usize) -> usize {
    testbed::wait::until_some(
        "a relay to take over",
        crate::scenario::DEADLINE,
        async || {
            for (number, relay) in relays.iter().enumerate() {
                if number != frozen && relay.is_in("active").await {
                    return Some(number);
                }
            }
            None
        },
    )
    .await
    .unwrap()
}

/// How long a transaction of millions may take on a busy machine.
const LARGE_MAX: Duration = Duration::from_secs(1200);

/// A relay that is busy with one transaction for minutes answers nothing else, and is left alone.
pub(crate) async fn busy_holder(rows: u32) {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let holder = Twin::start(&scenario);
    holder.phase("active").await;
    let standby = Twin::standing_by(&scenario).await;
    let insert = format!(
        "insert into outbox.message (destination, key, type, payload) \
         select '{}', 'k' || n % 7, 'T', convert_to(n::text, 'UTF8') \
         from generate_series(1, {rows}) n",
        scenario.topic().name
    );
    client.batch_execute(&insert).await.unwrap();
    testbed::wait::until("the transaction published", LARGE_MAX, async || {
        let found = scenario.checkpoint().await;
        let last = found.and_then(|found| found.last);
        last.is_some_and(|last| last.index + 1 >= rows)
    })
    .await
    .unwrap();
    assert_eq!(lines(&holder.program, "active").len(), 1);
    assert_eq!(lines(&standby.program, "active").len(), 0);
    assert!(standby.is_in("standby").await);
    assert_calm(&holder.program);
}
