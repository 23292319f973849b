//! Requests of operators, and a relay that meets them.

use std::sync::Arc;

use super::scenario::*;
use crate::relay::{
    Action, BlockedKey, ReplayedMessage, RequestPart, Settings, StreamEvent, StuckPolicy,
};
use crate::sink::{Batch, Outcome, Refusal, RefusalReason};
use crate::{Lsn, OutboxRow, Position, RequestId, TimelineId};

pub(super) fn request_id(number: u32) -> RequestId {
    RequestId::from(id(number))
}

/// The logical message of request `number`.
pub(super) fn asked(number: u32) -> StreamEvent {
    let id = request_id(number);
    StreamEvent::LogicalMessage {
        prefix: "outbox.request.policy".into(),
        content: format!(r#"{{"format": 1, "id": "{id}"}}"#).into(),
    }
}

pub(super) fn position(commit_lsn: u64, index: u32) -> Position {
    Position {
        commit_lsn: Lsn::new(commit_lsn),
        index,
    }
}

/// Row `row` of key `a`, which was set aside at 500.
pub(super) fn waiting(number: u32, row: u32) -> ReplayedMessage {
    ReplayedMessage {
        number,
        origin: Some((TimelineId(1), position(500, row))),
        replays: 2,
        reason: "too-large".to_owned(),
        row: keyed(row),
    }
}

pub(super) fn keyed(number: u32) -> OutboxRow {
    let StreamEvent::Row(row) = row(number) else {
        unreachable!("a row is a row")
    };
    OutboxRow {
        destination: "d".into(),
        key: Some("a".into()),
        ..row
    }
}

pub(super) fn part(messages: Vec<ReplayedMessage>, next: Option<u32>) -> RequestPart {
    RequestPart::Messages {
        messages,
        next,
        writes: 7,
    }
}

pub(super) fn blocked() -> BlockedKey {
    BlockedKey {
        destination: "d".into(),
        key: "a".into(),
        from: position(500, 0),
    }
}

/// A relay that holds back key `a`, and whose batches are left to the test.
pub(super) fn blocking(policy: StuckPolicy, parts: Vec<RequestPart>) -> Scenario {
    let mut scenario = Scenario::with(Settings {
        stuck: policy,
        ..settings()
    });
    scenario.parked_earlier.blocked = vec![blocked()];
    scenario.request_parts = parts.into();
    scenario.run();
    scenario.stream([keepalive(1000)]);
    scenario.leave(|action| publish(action).is_some() || matches!(action, Action::PutBack { .. }));
    scenario
}

pub(super) fn refuse(batch_index: usize) -> Outcome {
    Outcome::Poison(vec![Refusal {
        batch_index,
        reason: RefusalReason::TooLarge,
        error: "too large".into(),
    }])
}

pub(super) fn last_batch(scenario: &Scenario) -> Arc<Batch> {
    scenario.batches().pop().unwrap()
}

pub(super) fn asks(scenario: &Scenario) -> Vec<u32> {
    let from = |action: &Action| match action {
        Action::TakeRequest { from, .. } => Some(*from),
        _ => None,
    };
    scenario.actions.iter().filter_map(from).collect()
}
