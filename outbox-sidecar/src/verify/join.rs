use std::io;

use outbox_core::MessageId;

use super::aside_record::AsideRecord;
use super::digest::Digester;
use super::error::VerifyError;
use super::judge::Judge;
use super::record::{MessageRecord, Record, RowRecord};
use super::spill::{BUCKETS, Spill};

/// Of rows, and of messages, that are compared at once. A pass has far less, unless ids repeat by
/// the hundred thousand: those cannot be parted.
const PASS_RECORDS_MAX: usize = 250_000;

/// What is brought together, each spread over buckets by its id.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) rows: &'a Spill<RowRecord>,
    pub(super) messages: &'a Spill<MessageRecord>,
    pub(super) asides: &'a Spill<AsideRecord>,
}

/// Brings together what has one id, bucket by bucket, and has it judged. What of a bucket is larger
/// than `pass_bytes` takes several passes.
pub(super) fn join(
    sides: Sides<'_>,
    digester: &Digester,
    pass_bytes: u64,
    judge: &mut Judge<'_>,
    mut done: impl FnMut(usize),
) -> Result<(), VerifyError> {
    for bucket in 0..BUCKETS {
        let Sides {
            rows,
            messages,
            asides,
        } = sides;
        let bytes = rows.bytes(bucket) + messages.bytes(bucket) + asides.bytes(bucket);
        let passes = bytes.div_ceil(pass_bytes);
        for pass in 0..passes {
            let is_wanted = |id: &MessageId| is_in(digester, id, pass, passes);
            let mut rows = gather(rows, bucket, |row| is_wanted(&row.id))?;
            let mut messages = gather(messages, bucket, |message| is_wanted(&message.id))?;
            let mut asides = gather(asides, bucket, |aside| is_wanted(&aside.id))?;
            rows.sort_unstable_by_key(|row| row.id);
            messages.sort_unstable_by_key(|message| message.id);
            asides.sort_unstable_by_key(|aside| aside.id);
            by_id(&mut rows, &mut messages, &mut asides, judge);
        }
        done(bucket + 1);
    }
    Ok(())
}

/// The message that was read as the how-manieth, found again by its id.
pub(super) fn find_message(
    messages: &Spill<MessageRecord>,
    digester: &Digester,
    id: MessageId,
    sequence: u64,
) -> Result<MessageRecord, VerifyError> {
    let mut found = None;
    let bucket = Spill::<MessageRecord>::bucket_of(hash(digester, &id));
    messages.each(bucket, |message| {
        if message.sequence == sequence {
            found = Some(message);
        }
        Ok::<_, VerifyError>(())
    })?;
    let lost = || io::Error::from(io::ErrorKind::InvalidData);
    Ok(found.ok_or_else(lost)?)
}

/// Where records of an id are put by.
pub(super) fn hash(digester: &Digester, id: &MessageId) -> u64 {
    digester.bytes(Some(id.as_bytes()))
}

fn is_in(digester: &Digester, id: &MessageId, pass: u64, passes: u64) -> bool {
    passes <= 1 || hash(digester, id) % passes == pass
}

fn gather<R: Record>(
    spill: &Spill<R>,
    bucket: usize,
    is_wanted: impl Fn(&R) -> bool,
) -> Result<Vec<R>, VerifyError> {
    let mut gathered = Vec::new();
    spill.each(bucket, |record| {
        if is_wanted(&record) {
            if gathered.len() >= PASS_RECORDS_MAX {
                return Err(VerifyError::IdsRepeat(PASS_RECORDS_MAX));
            }
            gathered.push(record);
        }
        Ok(())
    })?;
    Ok(gathered)
}

/// All sorted by id.
fn by_id(
    mut rows: &mut [RowRecord],
    mut messages: &mut [MessageRecord],
    mut asides: &mut [AsideRecord],
    judge: &mut Judge<'_>,
) {
    loop {
        let firsts = [
            rows.first().map(|row| row.id),
            messages.first().map(|message| message.id),
            asides.first().map(|aside| aside.id),
        ];
        let Some(next) = firsts.into_iter().flatten().min() else {
            return;
        };
        judge.id(
            split_off(&mut rows, |row| row.id == next),
            split_off(&mut messages, |message| message.id == next),
            split_off(&mut asides, |aside| aside.id == next),
        );
    }
}

/// Takes the first records off, as long as this holds.
fn split_off<'a, R>(records: &mut &'a mut [R], holds: impl Fn(&R) -> bool) -> &'a mut [R] {
    let count = records.iter().take_while(|record| holds(record)).count();
    let (taken, rest) = std::mem::take(records).split_at_mut(count);
    *records = rest;
    taken
}
