//! Requests that are late, lost or answered in vain: each message is seen once.

mod schedule;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use testbed::KafkaServer;
use testbed::history::{WriterPlan, Writers, check, read};
use testbed::proxy::KafkaProxy;
use testbed::proxy::kafka::{Action, Fault, Injected, RequestKind, Stage};
use tokio_postgres::Client;

use self::schedule::{Planned, SOCKET_TIMEOUT_MS, Schedule};
use crate::scenario::observation::assert_calm;
use crate::scenario::{DEADLINE, Scenario, seed};

/// So many relays are at work at one time.
const AT_ONCE: usize = 4;
/// More than any schedule needs: the writers are stopped.
const MESSAGES_MAX: usize = 1_000_000;
/// What the broker takes in the topic that refuses messages, and what it is sent.
const SMALL_BYTES: usize = 1000;
/// What a relay's transactions wait for while they wait at all.
const TRANSACTION_TIMEOUT_MS: u64 = 4000;
/// How long a refused message may have ended no transaction before another one is written.
const ABORT_MAX: Duration = Duration::from_secs(2);

/// A broker that is reached through a proxy alone.
struct Bed {
    kafka: KafkaServer,
    proxy: KafkaProxy,
    /// Schedules in which the end of a transaction reached the broker during a later one.
    late_ends: AtomicUsize,
}

/// Runs so many schedules; in at least `late_ends_min` of them the end of a transaction that was
/// held must have reached the broker during a later transaction.
pub(crate) async fn indefinite(schedules: usize, late_ends_min: usize) {
    let mut random = fastrand::Rng::with_seed(seed());
    let starting = tokio::task::spawn_blocking(KafkaProxy::start_without_upstream);
    let proxy = starting.await.unwrap().unwrap();
    let options = KafkaServer::options().proxied_as(proxy.port());
    let kafka = options.start().await.unwrap();
    proxy.set_upstream(&kafka.proxied_upstream());
    let bed = Bed {
        kafka,
        proxy,
        late_ends: AtomicUsize::default(),
    };
    let seeds: Vec<u64> = (0..schedules).map(|_| random.u64(..)).collect();
    let runs = seeds.into_iter().map(|seed| run(&bed, Schedule::of(seed)));
    futures_util::stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
    let late_ends = bed.late_ends.into_inner();
    println!("{schedules} schedules, {late_ends} with an end that came during a later transaction");
    assert!(late_ends >= late_ends_min, "{late_ends}");
}

async fn run(bed: &Bed, schedule: Schedule) {
    let began = std::time::Instant::now();
    assert_eq!(Schedule::of(schedule.seed), schedule, "the seed is all");
    let scenario = scenario(bed).await;
    let refusing = format!("{}-small", scenario.topic().name);
    let limit = [("max.message.bytes", &*SMALL_BYTES.to_string())];
    let address = bed.kafka.address();
    let refuses = schedule.rolls_back();
    if refuses {
        let created = address.create_topic_with(&refusing, 1, &limit).await;
        created.unwrap();
    }
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    let mut plan = WriterPlan::new(schedule.seed, scenario.target.destination());
    plan.messages = MESSAGES_MAX;
    plan.writers = 2;
    plan.pause_max = Duration::from_millis(300);
    let writers = Writers::start(&scenario.database_url, &plan);

    let mut refused = 0;
    let mut injected = Vec::new();
    for planned in &schedule.faults {
        let fault = inject(bed, &scenario, *planned);
        if planned.kind == RequestKind::InitProducerId {
            // What makes the relay take a new producer.
            let reason = Planned {
                kind: RequestKind::Commit,
                occurrence: 1,
                action: Action::CutAfter,
            };
            let _ = inject(bed, &scenario, reason);
        }
        while planned.kind == RequestKind::Abort && !fault.has_struck() {
            refused += 1;
            enqueue_refused(&client, &refusing, refused).await;
            let _ = fault.reached(Stage::Struck, ABORT_MAX).await;
            assert!(refused < 50, "{schedule:?}: no transaction is rolled back");
        }
        let struck = fault.reached(Stage::Struck, DEADLINE).await;
        assert!(struck.is_ok(), "{schedule:?}: {planned:?}: {struck:?}");
        injected.push((*planned, fault));
    }
    let mut is_late_end = false;
    for (planned, fault) in &injected {
        let settled = fault.reached(Stage::Settled, DEADLINE).await;
        let Ok(settled) = settled else {
            panic!("{schedule:?}: {planned:?}: {settled:?}");
        };
        if planned.holds_an_end() && settled.in_later_transaction {
            is_late_end = true;
            // Whatever readers see of it: it must not end a transaction that is not its own.
            let refused = settled.error_code.is_some_and(|code| code != 0);
            assert!(refused, "{schedule:?}: {planned:?}: {settled:?}");
        }
    }
    if is_late_end {
        bed.late_ends.fetch_add(1, Ordering::Relaxed);
    }

    writers.stop();
    let history = writers.finish().await.unwrap();
    scenario.drained(&client).await;
    let report = check(&history, &scenario.records().await);
    assert!(report.is_exactly_once(), "{schedule:?}:\n{report}");
    assert_eq!(set_aside(&client).await, refused, "{schedule:?}");
    if refuses {
        let taken = read(address, &[&refusing], DEADLINE).await.unwrap();
        assert_eq!(taken, [], "{schedule:?}");
    }
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    assert_calm(&relay);
    let outcomes: Vec<_> = injected.iter().map(|(_, fault)| fault.progress()).collect();
    println!(
        "{:?}, {} messages, {schedule:?}: {outcomes:?}",
        began.elapsed(),
        history.committed.len()
    );
}

/// A relay whose only way to the broker is the proxy.
async fn scenario(bed: &Bed) -> Scenario {
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::new(postgres, bed.kafka.address()).await;
    let direct = format!("\"{}\"\n", bed.kafka.bootstrap());
    let through_proxy = format!(
        "\"{}\"\n\"socket.timeout.ms\" = \"{SOCKET_TIMEOUT_MS}\"\n\
         \"transaction.timeout.ms\" = \"{TRANSACTION_TIMEOUT_MS}\"\n",
        bed.proxy.address()
    );
    let configuration = scenario.configuration().replace(&direct, &through_proxy);
    scenario.configure(&configuration);
    scenario
}

fn inject(bed: &Bed, scenario: &Scenario, planned: Planned) -> Injected {
    bed.proxy.inject(Fault {
        transactional_id: format!("outbox-{}", scenario.relay),
        kind: planned.kind,
        occurrence: planned.occurrence,
        action: planned.action,
    })
}

/// A message that the broker refuses, with a key of its own.
async fn enqueue_refused(client: &Client, destination: &str, number: usize) {
    let sql = "insert into outbox.message (destination, key, type, payload) \
               values ($1, $2, 'T', $3)";
    let (key, payload) = (format!("refused-{number}"), vec![0_u8; 2 * SMALL_BYTES]);
    client
        .execute(sql, &[&destination, &key, &payload])
        .await
        .unwrap();
}

async fn set_aside(client: &Client) -> usize {
    let sql = "select count(*) from outbox.parked";
    let count: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    usize::try_from(count).unwrap()
}
