//! The parsers of what comes from outside, for the fuzzer: docs/fuzzing.md. It is no part of the program;
//! each panics where its parser does what no input may make it do.

use crate::config::hostile as configurations;
use crate::sink::hostile as brokers;
use crate::sink::rabbitmq_stream::hostile as streams;
use crate::source::connection::hostile as postgresql;
use crate::source::pgoutput::hostile as changes;
use crate::source::replication::hostile as replication;

/// The messages that answer a command on a connection to PostgreSQL.
pub fn postgresql_answers(input: &[u8]) {
    postgresql::answers(input);
}

/// A server's side of a replication connection, from the login to the start of the copy.
pub fn postgresql_conversation(input: &[u8]) {
    replication::conversation(input);
}

/// What comes on a running copy: frames, and what is in them.
pub fn postgresql_stream(input: &[u8]) {
    replication::stream(input);
}

/// One message of the copy, again after itself.
pub fn pgoutput(input: &[u8]) {
    changes::change(input);
}

/// A configuration file.
pub fn configuration(input: &[u8]) {
    configurations::file(input);
}

/// Addresses of PostgreSQL and of brokers; files of services and of passwords.
pub fn connection(input: &[u8]) {
    postgresql::address(input);
    postgresql::services(input);
    postgresql::passwords(input);
    brokers::address(input);
}

/// Frames of RabbitMQ's stream protocol, and what is in them.
pub fn rabbitmq_stream_frames(input: &[u8]) {
    streams::frames(input);
    streams::answer(input);
}

/// A chunk of a stream, and an AMQP 1.0 message.
pub fn rabbitmq_stream_messages(input: &[u8]) {
    streams::chunk(input);
    streams::message(input);
}

/// What the headers of published records hold, and those of a row.
pub fn message_text(input: &[u8]) {
    brokers::header_values(input);
    brokers::row_headers(input);
}
