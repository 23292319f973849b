//! What a run has seen, by name: a run that never sees something proves nothing about it.

use outbox_core::relay::{Notice, Stop};

pub(super) fn notice_name(notice: &Notice) -> &'static str {
    match notice {
        Notice::StandingBy { .. } => "standing by",
        Notice::Activating => "activating",
        Notice::Active { .. } => "active",
        Notice::EndedUncleanly {
            careful_messages: 0,
            ..
        } => "ended uncleanly",
        Notice::EndedUncleanly { tried: None, .. } => "ended uncleanly: one by one",
        Notice::EndedUncleanly { .. } => "ended uncleanly: what was tried is known",
        Notice::InFullBatchesAgain => "in batches again",
        Notice::SourceTrouble { .. } => "source trouble",
        Notice::SinkTrouble { kind, .. } => kind,
        Notice::SinkAtWork { .. } => "sink at work",
        Notice::Recovering { .. } => "recovering",
        Notice::Recovered { durable: true } => "recovered: durable",
        Notice::Recovered { durable: false } => "recovered: sent again",
        Notice::Halved { .. } => "halved",
        Notice::Fenced { .. } => "fenced",
        Notice::TerminatingHolder { .. } => "terminating a holder",
        Notice::Durable { batch } if batch.request().is_some() => "replayed",
        Notice::Durable { batch } if batch.messages.is_empty() => "checkpoint alone",
        Notice::Durable { batch } if batch.checkpoint.frontier.index > 0 => "part of a transaction",
        Notice::Durable { .. } => "whole transactions",
        Notice::Parked { .. } => "set aside",
        Notice::RequestUnreadable => "request: unreadable",
        Notice::RequestWaits { .. } => "request: not visible yet",
        Notice::RequestDropped { .. } => "request: dropped",
        Notice::RequestUnknown { .. } => "request: unknown",
        Notice::DestinationGone { .. } => "destination gone",
        Notice::DestinationBack { .. } => "destination back",
        Notice::PutBack { .. } => "request: refused again",
        Notice::RequestDone { .. } => "request: done",
        Notice::Halted(_) => "halted",
        Notice::Draining => "draining",
    }
}

pub(super) fn stop_name(stop: &Stop) -> &'static str {
    match stop {
        Stop::Drained => "stop: drained",
        Stop::Phantoms(_) => "stop: phantoms",
        Stop::OtherTimeline { .. } => "stop: other timeline",
        Stop::LogSetBack { .. } => "stop: log set back",
        Stop::Diverged(_) => "stop: diverged",
        Stop::StuckWritesMissing { .. } => "stop: what was set aside is gone",
        Stop::SlotMissing => "stop: slot missing",
        Stop::SlotAhead { .. } => "stop: slot ahead",
        Stop::HeldEarlier { .. } => "stop: held earlier",
        _ => "stop: other",
    }
}
