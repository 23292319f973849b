//! Where messages go.

use super::super::key::Key;

/// The most messages that may be on their way unconfirmed.
const UNCONFIRMED_MAX: i64 = 1_000_000;

/// The longest heartbeat of AMQP 0.9.1, which has 16 bits for it.
const HEARTBEAT_S_MAX: i64 = 65_535;

/// The protocol of Kafka counts partitions in 31 bits.
const PARTITIONS_MAX: i64 = 2_147_483_647;

/// And replicas in 15.
const REPLICAS_MAX: i64 = 32_767;

pub(super) const KEYS: &[Key] = &[
    Key::choice(
        "kafka.delivery",
        &["exactly-once", "at-least-once"],
        "at-least-once: no transaction around the messages, so that they are visible as soon as they are \
         acknowledged, and may come twice",
    )
    .or("exactly-once"),
    Key::text(
        "kafka.checkpoint_topic",
        "the name of a topic that is no destination",
        "of both deliveries; made by `init`: one partition, compacted. One for all relays of a Kafka \
         cluster",
    )
    .or("outbox-checkpoints"),
    Key::text(
        "kafka.password_file",
        "a file whose first line is the password",
        "read anew for each client: [Kafka](#kafkaproperties)",
    ),
    Key::truth(
        "kafka.create_topics",
        "whether a missing destination is created; otherwise its messages are [stuck](#stuck-messages)",
    )
    .or("false"),
    Key::number(
        "kafka.partitions",
        (1, PARTITIONS_MAX),
        "of created destinations",
    )
    .or("6"),
    Key::number(
        "kafka.replication_factor",
        (1, REPLICAS_MAX),
        "of created destinations; of the checkpoint topic as far as there are brokers",
    )
    .or("3"),
    Key::text(
        "rabbitmq.url",
        "a RabbitMQ URL such as amqps://relay@mq/%2f",
        "`amqp://user:password@host:5672/%2f`, or `amqps`. A vhost's slash is written `%2f`, and so is any \
         other sign that a URL reserves. TLS: [RabbitMQ](#tls-to-rabbitmq). It or one of the next two is \
         required",
    )
    .secret(),
    Key::list(
        "rabbitmq.urls",
        "such URLs",
        "several brokers, tried in this order; one that refuses us counts only when none takes us",
    )
    .secret(),
    Key::text(
        "rabbitmq.url_file",
        "a file that holds such a URL",
        "read anew for each connection",
    ),
    Key::number(
        "rabbitmq.unconfirmed_max",
        (1, UNCONFIRMED_MAX),
        "messages on their way at once; of each key one at a time",
    )
    .or("1000"),
    Key::truth(
        "rabbitmq.create_queues",
        "whether a queue that a message needs is made, durable and of type quorum; for destinations without \
         a route, and routes to the default exchange. Otherwise such a message is \
         [stuck](#stuck-messages). Exchanges are never made",
    )
    .or("false"),
    Key::number(
        "rabbitmq.heartbeat_s",
        (1, HEARTBEAT_S_MAX),
        "seconds between signs of life; a frozen holder keeps its guard until the broker misses them",
    )
    .or("10"),
    Key::text(
        "rabbitmq_stream.url",
        "a stream URL such as rabbitmq-stream+tls://relay@mq",
        "`rabbitmq-stream://user:password@host:5552/%2f`, or `rabbitmq-stream+tls` (port 5551). Without a \
         vhost it is `/`. It or one of the next two is required",
    )
    .secret(),
    Key::list("rabbitmq_stream.urls", "such URLs", "as `rabbitmq.urls`").secret(),
    Key::text(
        "rabbitmq_stream.url_file",
        "a file that holds such a URL",
        "as `rabbitmq.url_file`",
    ),
    Key::text(
        "rabbitmq_stream.checkpoint_stream",
        "the name of a stream that is no destination",
        "gets a copy of each checkpoint: it shows a database that was set back. Made by `init`; one for all \
         relays",
    )
    .or("outbox-checkpoints"),
    Key::number(
        "rabbitmq_stream.unconfirmed_max",
        (1, UNCONFIRMED_MAX),
        "messages on their way at once",
    )
    .or("1000"),
    Key::truth(
        "rabbitmq_stream.create_streams",
        "whether a stream that a message needs is made; super streams never are",
    )
    .or("false"),
    Key::number(
        "rabbitmq_stream.heartbeat_s",
        (1, HEARTBEAT_S_MAX),
        "seconds between signs of life",
    )
    .or("10"),
];
