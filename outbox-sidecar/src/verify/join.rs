use std::io;

use outbox_core::MessageId;

use super::digest::Digester;
use super::error::VerifyError;
use super::judge::Judge;
use super::record::{MessageRecord, Record, RowRecord};
use super::spill::{BUCKETS, Spill};

/// Of rows, and of messages, that are compared at once. A pass has far less, unless ids repeat by
/// the hundred thousand: those cannot be parted.
const PASS_RECORDS_MAX: usize = 250_000;

/// Brings the rows and the messages of each id together, bucket by bucket, and has them judged. What
/// of a bucket is larger than `pass_bytes` takes several passes.
pub(super) fn join(
    rows: &Spill<RowRecord>,
    messages: &Spill<MessageRecord>,
    digester: &Digester,
    pass_bytes: u64,
    judge: &mut Judge<'_>,
    mut done: impl FnMut(usize),
) -> Result<(), VerifyError> {
    for bucket in 0..BUCKETS {
        let bytes = rows.bytes(bucket) + messages.bytes(bucket);
        let passes = bytes.div_ceil(pass_bytes);
        for pass in 0..passes {
            let mut rows = gather(rows, bucket, |row| is_in(digester, &row.id, pass, passes))?;
            let is_wanted = |message: &MessageRecord| is_in(digester, &message.id, pass, passes);
            let mut messages = gather(messages, bucket, is_wanted)?;
            rows.sort_unstable_by_key(|row| row.id);
            messages.sort_unstable_by_key(|message| message.id);
            by_id(&mut rows, &mut messages, judge);
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

/// Both sorted by id.
fn by_id(mut rows: &mut [RowRecord], mut messages: &mut [MessageRecord], judge: &mut Judge<'_>) {
    loop {
        let next = match (rows.first(), messages.first()) {
            (Some(row), Some(message)) => row.id.min(message.id),
            (Some(row), None) => row.id,
            (None, Some(message)) => message.id,
            (None, None) => return,
        };
        let rows_of = rows.partition_point(|row| row.id == next);
        let messages_of = messages.partition_point(|message| message.id == next);
        let (mine, rest) = std::mem::take(&mut rows).split_at_mut(rows_of);
        let (theirs, others) = std::mem::take(&mut messages).split_at_mut(messages_of);
        judge.id(mine, theirs);
        (rows, messages) = (rest, others);
    }
}
