//! A row as it goes out: its message, and its name and number in the stream.

use outbox_core::sink::{Delivery, RefusalReason};

use super::asking::{Halt, Refused};
use super::message::Encoder;
use super::publishing_id::{Lineage, Reference, Unnumbered};
use super::wire::PublishFrame;

pub(super) type Prepared<'a> = (Reference, u64, &'a [u8]);

/// The message of a row and its name in the stream, or why it will not be taken. The limits are
/// those of a message's content and of a frame.
pub(super) fn prepare<'a>(
    encoder: &'a mut Encoder,
    lineage: &Lineage,
    (message_bytes_max, frame_bytes_max): (usize, usize),
    delivery: &Delivery,
) -> Result<Result<Prepared<'a>, Refused>, Halt> {
    let position = delivery.position;
    let (reference, id) = match lineage.locate(position) {
        Ok(located) => located,
        Err(error @ Unnumbered::Index(_)) => {
            return Ok(Err((RefusalReason::Rejected, error.to_string())));
        }
        Err(error @ Unnumbered::Unaligned(_)) => return Err(Halt::Fatal(error.to_string())),
    };
    let bytes = delivery.row.content_bytes();
    if bytes > message_bytes_max {
        let text = format!(
            "the message has {bytes} bytes, limits.message_bytes_max allows {message_bytes_max}"
        );
        return Ok(Err((RefusalReason::TooLarge, text)));
    }
    let message = match encoder.encode(delivery, lineage.timeline()) {
        Ok(message) => message,
        Err(refused) => return Ok(Err(refused)),
    };
    let (bytes, limit) = (
        message.len(),
        PublishFrame::message_bytes_max(frame_bytes_max),
    );
    if bytes > limit {
        let text = format!(
            "the message has {bytes} bytes with its properties, the broker's \
             stream.frame_max leaves {limit}"
        );
        return Ok(Err((RefusalReason::TooLarge, text)));
    }
    Ok(Ok((reference, id, message)))
}
