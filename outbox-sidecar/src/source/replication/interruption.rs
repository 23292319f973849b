use bytes::BytesMut;
use postgres_protocol::message::backend::Message;

use crate::source::error::ServerMessage;
use crate::source::{STREAMING, SourceError};

/// The tag of CopyDone.
const COPY_DONE: u8 = b'c';

/// How many notices of one stream are logged as warnings. PostgreSQL has one now and then to give; a server
/// could send them without end.
const WARNINGS_MAX: u32 = 100;

/// What a message means that comes instead of CopyData: errors end the stream, and so does a
/// notice about the publication. Other notices are counted in `warnings`.
pub(super) fn interruption(
    frame: &[u8],
    publication: &str,
    warnings: &mut u32,
) -> Result<(), SourceError> {
    if frame.first() == Some(&COPY_DONE) {
        return Err(SourceError::Ended);
    }
    let io_error = |source| SourceError::Io {
        doing: STREAMING,
        source,
    };
    match Message::parse(&mut BytesMut::from(frame)).map_err(io_error)? {
        Some(Message::ErrorResponse(body)) => {
            let error = ServerMessage::read(body.fields()).map_err(io_error)?;
            Err(SourceError::Server {
                doing: STREAMING,
                error: Box::new(error),
            })
        }
        Some(Message::NoticeResponse(body)) => {
            let notice = ServerMessage::read(body.fields()).map_err(io_error)?;
            if notice.is_about_publication(publication) {
                return Err(SourceError::PublicationSkipped(Box::new(notice)));
            }
            *warnings = warnings.saturating_add(1);
            if *warnings <= WARNINGS_MAX {
                tracing::warn!(%notice, "the server warned on the replication connection");
            }
            if *warnings == WARNINGS_MAX {
                tracing::warn!("more warnings of this connection are not logged");
            }
            Ok(())
        }
        // A server that shuts down in good order says that the command is complete.
        Some(Message::CommandComplete(_)) => Err(SourceError::Ended),
        Some(Message::ParameterStatus(_)) => Ok(()),
        _ => Err(SourceError::Protocol(format!(
            "{STREAMING}: the server sent a message {:?} that has no place there",
            frame.first().map(|tag| char::from(*tag))
        ))),
    }
}
