use std::collections::{HashMap, HashSet};

use outbox_core::Lsn;
use testbed::history::{Record, read, read_stream, take_queue};

use super::writing::Work;
use crate::broker::Kind;
use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// What consumers see, by number, in the order of each key.
pub(super) struct Seen {
    pub(super) numbers: Vec<usize>,
    /// Where each stands in the log, as it says.
    pub(super) positions: HashMap<usize, (Lsn, u32)>,
    /// How many say that they are replays.
    pub(super) replays: usize,
    repeats: usize,
}

impl Seen {
    pub(super) async fn read(scenario: &Scenario, work: &Work) -> Self {
        let mut records = scenario.records().await;
        for place in work.places() {
            if place != scenario.target.destination() {
                records.extend(of_place(&scenario.target, place).await);
            }
        }
        let mut known = HashSet::new();
        let mut seen = Self {
            numbers: Vec::new(),
            positions: HashMap::new(),
            replays: 0,
            repeats: 0,
        };
        for record in &records {
            if !known.insert(record.id) {
                seen.repeats += 1;
                continue;
            }
            let text = String::from_utf8_lossy(record.payload.as_deref().unwrap());
            let number = text.split(' ').next().unwrap().parse().unwrap();
            seen.numbers.push(number);
            if let Some(text) = record.header("outbox-position") {
                seen.positions.insert(number, position(&text));
            }
            seen.replays += usize::from(record.header("outbox-replay").is_some());
        }
        seen
    }

    /// Where nothing may be seen twice.
    pub(super) fn assert_no_repeats(&self, kind: Kind) {
        if matches!(kind, Kind::KafkaExactlyOnce | Kind::Stream) {
            assert_eq!(self.repeats, 0, "seen twice");
        }
    }
}

/// `<timeline>:<commit LSN>:<index>`.
fn position(text: &str) -> (Lsn, u32) {
    let mut parts = text.splitn(3, ':').skip(1);
    let (lsn, index) = (parts.next().unwrap(), parts.next().unwrap());
    (lsn.parse().unwrap(), index.parse().unwrap())
}

/// Another place than the scenario's own; it need not be there. Read once: a queue keeps nothing.
async fn of_place(target: &Target, place: &str) -> Vec<Record> {
    match target {
        Target::Kafka(topic) => read(&topic.address, &[place], DEADLINE).await,
        Target::Queue(queue) => take_queue(&queue.address, place, DEADLINE).await,
        Target::Stream(stream) => read_stream(&stream.address, place, DEADLINE).await,
    }
    .unwrap_or_default()
}

/// Of what was seen, the messages of a key, in the order they came.
pub(super) fn of_key(seen: &[usize], messages: &[usize]) -> Vec<usize> {
    let of_key = |number: &&usize| messages.binary_search(number).is_ok();
    seen.iter().filter(of_key).copied().collect()
}
