//! How messages are put together, and what is done with those that are refused.

use super::super::key::{Key, Kind};

/// The longest delay that can be asked for: a day.
const DELAY_MS_MAX: i64 = 24 * 3600 * 1000;

/// The largest size that can be asked for.
const SIZE_BYTES_MAX: u64 = 64 << 30;

/// The smallest buffer: room for a few messages of ordinary size.
const BUFFER_BYTES_MIN: u64 = 64 * 1024;

/// The smallest batch that is worth a transaction.
const BATCH_BYTES_MIN: u64 = 1024;

/// librdkafka's own lower limit for `message.max.bytes`.
const MESSAGE_BYTES_MIN: u64 = 1000;

/// What a record may have at most: Kafka's own messages stay far below.
const MESSAGE_BYTES_MAX: u64 = 64 << 20;

/// The longest drain that can be asked for: an hour, past any supervisor's patience.
const DRAIN_S_MAX: i64 = 3600;

/// The most messages a batch may be allowed.
const MESSAGES_MAX: i64 = 10_000_000;

/// The highest that can be configured for destinations that are gone.
const GONE_MAX: i64 = 1_000_000_000;

pub(super) const KEYS: &[Key] = &[
    Key::choice(
        "stuck.policy",
        &["park-key", "park", "halt"],
        "what becomes of a message that the broker refuses for itself: [stuck messages](#stuck-messages)",
    )
    .or("park-key"),
    Key::number(
        "stuck.gone_after",
        (1, GONE_MAX),
        "refusals in a row after which a destination that is missing or closed to the relay counts as gone: \
         its messages are set aside without asking, but for one now and then",
    )
    .or("20"),
    Key::number(
        "stuck.gone_messages_max",
        (0, GONE_MAX),
        "so many messages of such a destination are set aside; then the relay waits for it, and everything \
         else with it. 0: waits at once. What stands behind a message of its key is set aside all the same",
    )
    .or("1000000"),
    Key::number(
        "batch.messages_max",
        (1, MESSAGES_MAX),
        "the most messages of a batch: of a Kafka transaction, or between two checkpoints; for RabbitMQ \
         queues at most twice `rabbitmq.unconfirmed_max`, since what a relay that dies leaves unfinished is \
         shown again",
    )
    .or("10000"),
    Key::bytes(
        "batch.bytes_max",
        (BATCH_BYTES_MIN, SIZE_BYTES_MAX),
        "the most bytes of one; a larger message goes alone",
    )
    .or("8MiB"),
    Key::number(
        "batch.transaction_ms_max",
        (1, DELAY_MS_MAX),
        "how long the part of a database transaction that is still arriving is held back. Besides, messages \
         that are late already wait for a fuller batch, for a twentieth of what they are late by and 50 ms \
         at most ([ADR 0021](adr/0021-late-messages-wait-for-a-fuller-batch.md))",
    )
    .or("5000"),
    Key::number(
        "retry.delay_ms_min",
        (1, DELAY_MS_MAX),
        "the first delay after a failure",
    )
    .or("50"),
    Key::number(
        "retry.delay_ms_max",
        (1, DELAY_MS_MAX),
        "the longest, and not below the first; a transient error is retried for ever",
    )
    .or("30000"),
    Key::bytes(
        "limits.buffer_bytes_max",
        (BUFFER_BYTES_MIN, SIZE_BYTES_MAX),
        "messages that wait for the sink; past it the socket is left alone",
    )
    .or("16MiB"),
    Key::bytes(
        "limits.message_bytes_max",
        (MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX),
        "the largest message: destination, key, type, content type, headers as stored, and payload together. \
         Keep the topics' `max.message.bytes`, RabbitMQ's `max_message_size` or `stream.frame_max` above it",
    )
    .or("1MiB"),
    Key::later(
        "limits.messages_per_second_max",
        Kind::Number,
        "0",
        "use 0, no limit",
        "no limit of messages a second yet",
    ),
    Key::number(
        "limits.drain_s_max",
        (0, DRAIN_S_MAX),
        "seconds that a stop by SIGTERM may take",
    )
    .or("20"),
    Key::later(
        "recovery.phantoms",
        Kind::Text,
        "stop",
        "use stop",
        "messages that were published and whose commit is lost stop the relay, and nothing else yet",
    ),
];
