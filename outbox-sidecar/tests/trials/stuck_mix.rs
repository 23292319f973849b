//! Messages that a broker refuses, among many that it takes: the others arrive as if nothing were, and
//! what was refused arrives once its cause is mended, whatever is killed meanwhile.

mod repair;
mod seen;
mod writing;

use std::collections::HashSet;
use std::time::Duration;

use testbed::wait;

use self::seen::{Seen, of_key};
use self::writing::{Poison, Work};
use crate::broker::Kind;
use crate::scenario::{DEADLINE, Scenario, seed};

/// What is tried.
#[derive(Clone, Copy)]
pub(crate) struct StuckMix {
    pub(crate) kind: Kind,
    /// `park-key` or `park`; `halt` until the causes are mended, and then `park-key`.
    pub(crate) policy: &'static str,
    pub(crate) messages: usize,
    /// How many of them are refused for themselves, beside all that go to a destination that is not
    /// there.
    pub(crate) poison: usize,
    /// How often the relay is killed while the writers are at work, and again while what was set aside
    /// comes back.
    pub(crate) kills: usize,
}

/// What refuses messages before it is mended: the relay's own limit.
const LIMIT: &str = "limits.message_bytes_max=20KiB";

pub(crate) async fn stuck_mix(mix: StuckMix) {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let broker = mix.kind.start().await;
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, broker.target(mix.kind).await).await;
    scenario.init(&[]).await;
    let policy = format!("stuck.policy={}", mix.policy);
    let relay = scenario.start_with(&[&policy, LIMIT]);
    let work = Work::new(&mut random, &scenario, mix.messages, mix.poison);
    work.prepare(&scenario).await;

    let (first, second) = work.halves();
    let writing = work.start(&scenario, first.clone());
    for kill in 0..mix.kills {
        let due = first.len() * (kill + 1) / (mix.kills + 1);
        wait::until("the writers to go on", DEADLINE, || async {
            writing.committed() >= due
        })
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(random.u64(0..1000))).await;
        relay.kill().await.unwrap();
        relay.restart().unwrap();
    }
    writing.finished().await;
    let client = scenario.client().await;
    if mix.policy == "halt" {
        scenario.phase("held").await;
    } else {
        scenario.drained(&client).await;
    }
    let before = Seen::read(&scenario, &work).await;
    if mix.policy != "halt" {
        check_before(&mix, &work, first.len(), &before);
        repair::check_list(&scenario, &work, &before).await;
    }

    // The causes are mended, and while what was set aside comes back more is written.
    work.mend(&scenario).await;
    relay.kill().await.unwrap();
    let policy = match mix.policy {
        "halt" => "stuck.policy=park-key",
        _ => &policy,
    };
    let relay = scenario.start_with(&[policy, "limits.message_bytes_max=1MiB"]);
    let writing = work.start(&scenario, second);
    let killing = async {
        for _ in 0..mix.kills {
            tokio::time::sleep(Duration::from_millis(random.u64(200..3000))).await;
            relay.kill().await.unwrap();
            relay.restart().unwrap();
        }
    };
    let repairing = repair::replay_all(&scenario, &work);
    tokio::join!(killing, repairing, writing.finished());
    scenario.drained(&client).await;
    repair::until_nothing_waits(&scenario, &work).await;

    let after = Seen::read(&scenario, &work).await;
    check_after(&mix, &work, &after);
    // What a queue has given away cannot be compared.
    if matches!(mix.kind, Kind::KafkaExactlyOnce | Kind::Stream) {
        if mix.policy == "halt" {
            check_halted(&mix, &work, first.len(), &before, &after);
        }
        audit(&scenario).await;
    }
    assert!(
        scenario.metric("outbox_blocked_keys").await == Some(0.0),
        "no key waits"
    );
}

/// Everything that nobody refuses is there, once; under `park-key` of each key exactly what stands
/// before its first refused message.
fn check_before(mix: &StuckMix, work: &Work, count: usize, seen: &Seen) {
    seen.assert_no_repeats(mix.kind);
    for (key, messages) in work.by_key(count) {
        let arrived = of_key(&seen.numbers, &messages);
        let expected: Vec<usize> = match mix.policy {
            "park-key" => {
                let fine = |number: &&usize| work.message(**number).poison == Poison::None;
                messages.iter().take_while(fine).copied().collect()
            }
            _ => {
                let fine = |number: &&usize| work.message(**number).poison == Poison::None;
                messages.iter().filter(fine).copied().collect()
            }
        };
        assert_eq!(
            arrived, expected,
            "key {key}, {} of {messages:?}",
            mix.policy
        );
    }
}

/// The relay halted at the first message that was refused: what stands before it was there, and in Kafka
/// nothing of what stands behind it. A stream may hold more of its batch, and knows it again.
fn check_halted(mix: &StuckMix, work: &Work, count: usize, before: &Seen, after: &Seen) {
    let there: HashSet<usize> = before.numbers.iter().copied().collect();
    let written = after
        .positions
        .iter()
        .filter(|(number, _)| **number < count);
    let (seen, unseen): (Vec<_>, Vec<_>) = written.partition(|(number, _)| there.contains(number));
    let last = seen.iter().map(|(_, position)| **position).max();
    let (halted, first) = unseen
        .iter()
        .min_by_key(|(_, position)| **position)
        .copied()
        .unwrap();
    assert!(
        last < Some(*first) || mix.kind == Kind::Stream,
        "{last:?} was published, {first:?} was not"
    );
    assert_ne!(
        work.message(*halted).poison,
        Poison::None,
        "message {halted}"
    );
}

/// The audit that an operator has agrees.
async fn audit(scenario: &Scenario) {
    let ran = scenario.command(&["verify", "--json"], &[]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
}

/// Everything is there, once, and under `park-key` each key in its commit order.
fn check_after(mix: &StuckMix, work: &Work, seen: &Seen) {
    seen.assert_no_repeats(mix.kind);
    for (key, messages) in work.by_key(work.len()) {
        let mut arrived = of_key(&seen.numbers, &messages);
        if mix.policy == "park" {
            arrived.sort_unstable();
        }
        assert_eq!(arrived, messages, "key {key}");
    }
    assert!(seen.replays > 0, "what came back says so");
}
