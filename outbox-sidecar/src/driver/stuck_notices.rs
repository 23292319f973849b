//! What became of stuck messages: one line each, by which a message can be followed.

use metrics::counter;
use outbox_core::relay::{EarlierTries, FinishedRequest, ParkReason, ParkedMessage, RefusedAgain};
use outbox_core::sink::{Delivery, RefusalReason};
use outbox_core::{Position, RequestId};

use crate::telemetry::names;

/// A message was set aside. One that only waits behind another is no news of its own.
pub(super) fn set_aside(parked: &ParkedMessage) {
    let (row, reason) = (&parked.delivery.row, parked.reason.as_str());
    counter!(names::MESSAGES_PARKED, names::LABEL_REASON => reason).increment(1);
    let (message_id, position) = (row.id, parked.delivery.position);
    let (destination, key) = (&*row.destination, row.key.as_deref());
    if parked.reason == ParkReason::KeyBlocked {
        tracing::info!(
            %message_id, %position, destination, key, reason,
            "a message waits in outbox.parked behind another of its key"
        );
    } else {
        tracing::warn!(
            %message_id, %position, destination, key, reason, error = parked.error,
            "a message was set aside in outbox.parked"
        );
    }
}

/// Processes ended without a word before this one became active.
pub(super) fn ended_uncleanly(times: u32, tried: Option<&EarlierTries>, careful_messages: usize) {
    if careful_messages == 0 {
        tracing::warn!(times, "whoever published before ended without a word");
        return;
    }
    let message_id = tried.map(|tried| tried.batch.id.to_string());
    let position = tried.map(|tried| tried.batch.position.to_string());
    tracing::warn!(
        times,
        careful_messages,
        message_id,
        position,
        messages = tried.map(|tried| tried.batch.messages),
        tries = tried.map(|tried| tried.count),
        "whoever published before ended without a word, again and again: the next messages go in \
         small batches, so that one which ends the process is found"
    );
}

/// A destination refuses one message after the other.
pub(super) fn gone(destination: &str, reason: RefusalReason, error: &str) {
    tracing::error!(
        destination,
        reason = reason.as_str(),
        error,
        "a destination refuses every message: they are set aside in outbox.parked without asking, but \
         for one now and then"
    );
}

/// It has taken a message.
pub(super) fn back(destination: &str) {
    tracing::info!(
        destination,
        "a destination takes messages again: replay what was set aside for it"
    );
}

/// A message that was set aside, or was published before, is published on request.
pub(super) fn replayed(delivery: &Delivery) {
    let Some(replay) = &delivery.replay else {
        return;
    };
    let row = &delivery.row;
    let Some((_, position)) = replay.origin else {
        tracing::info!(
            message_id = %row.id,
            position = %delivery.position,
            destination = &*row.destination,
            key = row.key.as_deref(),
            request = %replay.request,
            "a message is published once more"
        );
        return;
    };
    tracing::info!(
        message_id = %row.id,
        %position,
        destination = &*row.destination,
        key = row.key.as_deref(),
        request = %replay.request,
        replay = replay.number,
        reason = replay.reason,
        "a message that was set aside is published"
    );
}

/// A message was refused again, or when it was to be published once more.
pub(super) fn put_back(refused: &RefusedAgain) {
    let reason = refused.reason.as_str();
    let Some(position) = refused.position else {
        tracing::warn!(
            message_id = %refused.id,
            destination = &*refused.destination,
            key = refused.key.as_deref(),
            reason,
            error = refused.error,
            "a message that was to be published once more was refused: it is left out, and kept in \
             outbox.redelivery"
        );
        return;
    };
    tracing::warn!(
        message_id = %refused.id,
        %position,
        destination = &*refused.destination,
        key = refused.key.as_deref(),
        reason,
        error = refused.error,
        "a message was refused again: it waits on in outbox.parked"
    );
}

/// A request was carried out.
pub(super) fn done(request: RequestId, position: Position, outcome: &FinishedRequest) {
    for skipped in &outcome.skipped_messages {
        tracing::info!(
            message_id = %skipped.id,
            position = %skipped.position,
            destination = skipped.destination,
            key = skipped.key,
            reason = skipped.reason,
            %request,
            "a message that was set aside is given up"
        );
    }
    let FinishedRequest {
        is_redelivery,
        published,
        skipped,
        returned,
        ..
    } = *outcome;
    if is_redelivery {
        let left_out = returned;
        for (label, count) in [
            (names::OUTCOME_PUBLISHED, published),
            (names::OUTCOME_LEFT_OUT, left_out),
        ] {
            counter!(names::REDELIVERIES, names::LABEL_OUTCOME => label).increment(count);
        }
        tracing::info!(%request, %position, published, left_out, "a redelivery is done");
        return;
    }
    for (label, count) in [
        (names::OUTCOME_PUBLISHED, published),
        (names::OUTCOME_SKIPPED, skipped),
        (names::OUTCOME_RETURNED, returned),
    ] {
        counter!(names::REPLAYS, names::LABEL_OUTCOME => label).increment(count);
    }
    tracing::info!(%request, %position, published, skipped, returned, "a request is done");
}
