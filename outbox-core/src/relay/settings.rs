use std::time::Duration;

use super::StuckPolicy;

/// What a relay is configured to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The relay's name.
    pub name: String,
    /// When a batch is full.
    pub batch: BatchLimits,
    /// The most bytes of messages in memory, those in the sink's hands included; twice
    /// `batch.bytes_max` lets one batch fill while another is in flight.
    pub buffer_bytes_max: usize,
    /// How long one attempt at a batch may take by the broker's own limit: one that took longer is
    /// tried again in halves.
    pub attempt_max: Duration,
    /// What to do with a message that the broker refuses for itself.
    pub stuck: StuckPolicy,
    /// When a destination counts as gone, and how much of it is set aside then.
    pub gone: GoneLimits,
    /// How long to wait before trying again.
    pub retry: BackoffLimits,
    /// How long a graceful stop may take.
    pub drain_max: Duration,
}

/// A destination that refuses one message after the other, because it does not exist or is closed to
/// us, counts as gone: its messages are set aside without asking, but for one now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoneLimits {
    /// So many refusals in a row; at least 1. Fewer may be the fault of single messages.
    pub after: u64,
    /// So many messages of it are set aside; then the relay waits for the destination, and with it
    /// everything else. What stands behind a message of its key is set aside all the same.
    pub messages_max: u64,
}

/// When a batch is full. A free sink waits for none of these, and for a fuller batch only while what
/// arrives is late anyway: for a twentieth of the time that it is late by, 50 ms at most, and until a
/// batch has 2000 messages or 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most messages.
    pub messages_max: usize,
    /// The most bytes; a single larger message is a batch of its own.
    pub bytes_max: usize,
    /// How long the relay holds back the part it has of a transaction that is still arriving.
    pub transaction_max: Duration,
}

/// Exponential back-off with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffLimits {
    /// The first delay.
    pub delay_min: Duration,
    /// The longest delay.
    pub delay_max: Duration,
}

/// A message may wait for a fuller batch for this part of the time that it is late by.
pub(super) const LINGER_SHARE: u32 = 20;

/// Less is not worth a timer: what is late by less than twenty times this goes at once.
pub(super) const LINGER_MIN: Duration = Duration::from_millis(1);

/// The longest wait for a fuller batch.
pub(super) const LINGER_MAX: Duration = Duration::from_millis(50);

/// A batch of so many messages is worth its checkpoint, and waits for no more.
pub(super) const LINGER_MESSAGES_MAX: usize = 2000;

/// The same of a batch of so many bytes.
pub(super) const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// How long after a refusal a message of a destination that is gone is tried.
pub(super) const PROBE_MIN: Duration = Duration::from_secs(1);

/// The same after many.
pub(super) const PROBE_MAX: Duration = Duration::from_secs(30);

/// The most destinations that are watched for being gone.
pub(super) const GONE_DESTINATIONS_MAX: usize = 10_000;

/// The most keys whose messages wait for an operator; each takes about 100 bytes beside its text.
pub(super) const BLOCKED_KEYS_MAX: usize = 1_000_000;

/// The most bytes of their texts.
pub(super) const BLOCKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// So many processes in a row that ended without a word: from then on messages are published
/// with care.
pub(super) const UNCLEAN_ENDS_MAX: u32 = 2;

/// So many of them go together then; should the process end over them, they go alone.
pub(super) const CAREFUL_MESSAGES_MAX: usize = 100;

/// So many processes that ended while they tried a message, alone: it is not tried any more.
pub(super) const TRIES_MAX: u32 = 3;

/// A message that ends the process does so within this time after it was handed to the sink. What
/// ends the process later is not laid to its charge: whoever waits for a broker may be killed.
pub(super) const CRASH_MAX: Duration = Duration::from_secs(2);

/// How often is looked whether a request's transaction can be seen.
pub(super) const VISIBILITY_INTERVAL: Duration = Duration::from_millis(100);

/// How long a standby waits before it looks at the slot again, jitter aside.
pub(super) const STANDBY_INTERVAL: Duration = Duration::from_secs(1);

/// How long the holder's last reply may stay the same before its walsender is ended.
///
/// Above the holder's `wal_sender_timeout` of 4 s, within which the server itself drops a frozen
/// peer, and far above the 1.5 s that a busy holder's reply was seen to stand still.
pub(super) const HOLDER_SILENCE_MAX: Duration = Duration::from_secs(8);

/// How much foreign log may pass an idle outbox before the checkpoint follows.
pub(super) const IDLE_BYTES_MAX: u64 = 1024 * 1024;

/// How long foreign log may pass an idle outbox before the checkpoint follows.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(5);

/// How often a checkpoint is written though nothing at all happens: brokers forget the idle
/// (Kafka's `transactional.id.expiration.ms`, seven days by default).
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// How often the server may ask at one position, and for how long, before it counts as stopping.
pub(super) const SHUTDOWN_REQUESTS: u32 = 5;

/// See [`SHUTDOWN_REQUESTS`].
pub(super) const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(1);
