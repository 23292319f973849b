use outbox_core::sink::AcquireError;

use super::Findings;
use crate::config::Settings;
use crate::count::counted;
use crate::sink::rabbitmq_stream::{Presence, StreamInspection, StreamSettings};

const FIX_OF_RIGHTS: &str = "let the user read and write it, beside the rights that it has: rabbitmqctl \
                             set_permissions replaces all three";

/// Of a super stream so many partitions are tried.
const STREAMS_TRIED_MAX: usize = 32;

/// Looks at RabbitMQ's streams: plugin and login, and the destinations that are named.
pub(super) fn check(settings: &Settings, stream: &StreamSettings, findings: &mut Findings) {
    for place in stream.places_in_clear() {
        super::rabbitmq::password_in_clear("rabbitmq_stream", &place, findings);
    }
    let mut inspection = match StreamInspection::connect(stream) {
        Ok(inspection) => inspection,
        Err(error) => {
            let fix = "rabbitmq-plugins enable rabbitmq_stream; check rabbitmq_stream.url, the \
                       vhost, the user's rights and the network";
            return findings.error("rabbitmq_stream", error.to_string(), fix);
        }
    };
    let version = inspection.version().unwrap_or("of unknown version");
    findings.ok("rabbitmq_stream", format!("RabbitMQ {version}"));
    match inspection.try_checkpoint_stream(stream) {
        Ok(()) => findings.ok("checkpoint_stream", &stream.checkpoint_stream),
        Err(error @ AcquireError::CheckpointMissing(_)) => findings.error(
            "checkpoint_stream",
            error.to_string(),
            "outbox-sidecar init, once you know that the database was not set back",
        ),
        Err(AcquireError::Unavailable(said)) => findings.error(
            "checkpoint_stream",
            said,
            "nothing is wrong with it as far as is known: ask again once that is over",
        ),
        Err(error) => findings.error("checkpoint_stream", error.to_string(), FIX_OF_RIGHTS),
    }
    let literal = |destination: &&String| !destination.contains('*');
    for name in settings.destinations.iter().filter(literal) {
        match inspection.look(name) {
            Ok(Presence::Stream) => {
                findings.ok("stream", name);
                let only = std::slice::from_ref(name);
                rights(&mut inspection, stream, name, only, findings);
            }
            Ok(Presence::SuperStream(partitions)) => {
                let count = counted(partitions.len(), "partition");
                findings.ok("stream", format!("{name}, of {count}"));
                rights(&mut inspection, stream, name, &partitions, findings);
            }
            Ok(Presence::Missing) if stream.create_streams => {
                findings.ok(
                    "stream",
                    format!("{name} will be made with its first message"),
                );
            }
            Ok(Presence::Missing) => findings.error(
                "stream",
                format!("{name} does not exist: its first message is refused"),
                format!(
                    "rabbitmqadmin declare queue name={name} durable=true \
                     arguments='{{\"x-queue-type\": \"stream\"}}', or \
                     rabbitmq_stream.create_streams = true; a queue of this name that is no stream \
                     must go first"
                ),
            ),
            Err(said) => findings.error("stream", said, "check the broker's log"),
        }
    }
}

/// Whether the user may read and write a destination's streams; the first that it may not is named.
fn rights(
    inspection: &mut StreamInspection,
    settings: &StreamSettings,
    destination: &str,
    streams: &[String],
    findings: &mut Findings,
) {
    let subject = "right to write";
    for name in streams.iter().take(STREAMS_TRIED_MAX) {
        match inspection.refuses(name, &settings.relay) {
            Ok(None) => {}
            Ok(Some(said)) => {
                let message = format!("{name}: its messages would be set aside: {said}");
                return findings.error(subject, message, FIX_OF_RIGHTS);
            }
            Err(said) => return findings.warning(subject, said, "check the broker's log"),
        }
    }
    let tried = match streams.len() {
        count if count > STREAMS_TRIED_MAX => {
            format!("{destination}, tried on {STREAMS_TRIED_MAX} of {count} partitions")
        }
        _ => destination.to_owned(),
    };
    findings.ok(subject, tried);
}
