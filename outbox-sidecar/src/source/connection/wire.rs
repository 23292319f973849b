use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{Header, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::source::SourceError;
use crate::source::error::ServerMessage;

/// The largest message that is accepted. PostgreSQL's own limit for a value is 1 GiB; a row of the
/// outbox has a few large values at most.
pub(crate) const FRAME_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The most that is read for one answer outside of a copy, whatever it is made of: logging in, a few
/// short rows, an error. A server that says more, or never comes to an end, is none.
pub(super) const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// How much is read at once: the work of a wake-up is shared by all rows it brings.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// Room is made for more once there is less than this.
const READ_BYTES_MIN: usize = 64 * 1024;

/// A buffer that has grown beyond this for one large message is given back once that is taken.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// The longest a command may take to be answered.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Protocol messages over a byte stream.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    /// What was read for the answer that is awaited.
    answer_bytes: usize,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            answer_bytes: 0,
            input: BytesMut::new(),
            output: BytesMut::new(),
        }
    }

    /// Reads what has arrived; cancelling it loses nothing.
    pub(crate) async fn read_more(&mut self) -> io::Result<usize> {
        if self.input.capacity() > KEPT_BYTES_MAX && self.input.len() < READ_BYTES_MIN {
            let mut small = BytesMut::with_capacity(READ_BYTES);
            small.extend_from_slice(&self.input);
            self.input = small;
        }
        if self.input.capacity() - self.input.len() < READ_BYTES_MIN {
            self.input.reserve(READ_BYTES);
        }
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )),
            bytes => Ok(bytes),
        }
    }

    /// Reads more of an answer, which has an end.
    pub(crate) async fn read_answer(&mut self, doing: &'static str) -> Result<(), SourceError> {
        let read = self.read_more().await;
        self.answer_bytes += read.map_err(|source| SourceError::Io { doing, source })?;
        if self.answer_bytes <= ANSWER_BYTES_MAX {
            return Ok(());
        }
        Err(SourceError::Nonsense(format!(
            "{doing}: the server has sent {} bytes and no end of its answer, more than the \
             {ANSWER_BYTES_MAX} that are accepted",
            self.answer_bytes
        )))
    }

    /// Sends what was put into `output`.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        self.stream.flush().await
    }

    /// The next message that answers us; notices and parameters are passed by.
    pub(crate) async fn next(&mut self, doing: &'static str) -> Result<Message, SourceError> {
        loop {
            match self.next_or_parameter(doing).await? {
                Message::ParameterStatus(_) => {}
                message => return Ok(message),
            }
        }
    }

    /// The next message, a parameter's value included; notices are passed by.
    pub(crate) async fn next_or_parameter(
        &mut self,
        doing: &'static str,
    ) -> Result<Message, SourceError> {
        loop {
            if self.frame(doing)?.is_some() {
                let message = Message::parse(&mut self.input)
                    .map_err(|source| SourceError::Io { doing, source })?;
                match message {
                    Some(Message::ErrorResponse(body)) => {
                        let error = ServerMessage::read(body.fields())
                            .map_err(|source| SourceError::Io { doing, source })?;
                        return Err(SourceError::Server {
                            doing,
                            error: Box::new(error),
                        });
                    }
                    Some(Message::NoticeResponse(body)) => {
                        if let Ok(notice) = ServerMessage::read(body.fields()) {
                            tracing::debug!(%notice, "the server noted");
                        }
                    }
                    Some(message) => return Ok(message),
                    None => {}
                }
            } else {
                self.read_answer(doing).await?;
            }
        }
    }

    /// Drops the message that [`Wire::frame`] has found.
    pub(crate) fn skip_frame(&mut self) {
        if let Ok(Some(header)) = Header::parse(&self.input) {
            let bytes = usize::try_from(header.len()).unwrap_or(0).saturating_add(1);
            self.input.advance(bytes.min(self.input.len()));
        }
    }

    /// Takes the message that [`Wire::frame`] has found: an error is one, a notice is nothing.
    /// Anything else is returned by name.
    pub(crate) fn next_buffered(
        &mut self,
        doing: &'static str,
    ) -> Result<Option<String>, SourceError> {
        let io_error = |source| SourceError::Io { doing, source };
        match Message::parse(&mut self.input).map_err(io_error)? {
            Some(Message::ErrorResponse(body)) => {
                let error = ServerMessage::read(body.fields()).map_err(io_error)?;
                Err(SourceError::Server {
                    doing,
                    error: Box::new(error),
                })
            }
            Some(Message::NoticeResponse(body)) => {
                let notice = ServerMessage::read(body.fields()).map_err(io_error)?;
                tracing::debug!(%notice, "the server noted");
                Ok(None)
            }
            Some(Message::ParameterStatus(_)) | None => Ok(None),
            Some(Message::CommandComplete(_)) => Ok(Some("a completed command".to_owned())),
            Some(Message::ReadyForQuery(_)) => Ok(Some("nothing".to_owned())),
            Some(_) => Ok(Some("another message".to_owned())),
        }
    }

    /// The tag of the next message, once it has arrived as a whole.
    pub(crate) fn frame(&self, doing: &'static str) -> Result<Option<u8>, SourceError> {
        let header =
            Header::parse(&self.input).map_err(|source| SourceError::Io { doing, source })?;
        let Some(header) = header else {
            return Ok(None);
        };
        let bytes = usize::try_from(header.len())
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        if bytes > ANSWER_BYTES_MAX {
            return Err(SourceError::Nonsense(format!(
                "{doing}: the server announces a message of {bytes} bytes, more than the \
                 {ANSWER_BYTES_MAX} that are accepted"
            )));
        }
        Ok((self.input.len() >= bytes).then_some(header.tag()))
    }

    /// Runs one simple query and returns its rows as text. After a time-out the connection is of
    /// no use any more.
    pub(crate) async fn query(
        &mut self,
        sql: &str,
        doing: &'static str,
        limit: Duration,
    ) -> Result<Vec<Vec<Option<String>>>, SourceError> {
        tokio::time::timeout(limit, self.rows(sql, doing))
            .await
            .map_err(|_| SourceError::TimedOut {
                doing,
                limit_s: limit.as_secs(),
            })?
    }

    pub(super) async fn rows(
        &mut self,
        sql: &str,
        doing: &'static str,
    ) -> Result<Vec<Vec<Option<String>>>, SourceError> {
        self.send_query(sql, doing).await?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            match self.next(doing).await {
                Ok(Message::DataRow(row)) => rows
                    .push(text_columns(&row).map_err(|source| SourceError::Io { doing, source })?),
                Ok(Message::ReadyForQuery(_)) => break,
                Ok(_) => {}
                // The server says that it is ready again after an error too.
                Err(error @ SourceError::Server { .. }) if failure.is_none() => {
                    if matches!(&error, SourceError::Server { error, .. } if error.severity == "FATAL")
                    {
                        return Err(error);
                    }
                    failure = Some(error);
                }
                Err(error) => return Err(failure.unwrap_or(error)),
            }
        }
        failure.map_or(Ok(rows), Err)
    }

    pub(crate) async fn send_query(
        &mut self,
        sql: &str,
        doing: &'static str,
    ) -> Result<(), SourceError> {
        let io_error = |source| SourceError::Io { doing, source };
        self.answer_bytes = 0;
        postgres_protocol::message::frontend::query(sql, &mut self.output).map_err(io_error)?;
        self.flush().await.map_err(io_error)
    }
}

fn text_columns(
    row: &postgres_protocol::message::backend::DataRowBody,
) -> io::Result<Vec<Option<String>>> {
    // Not allocated by the number of columns that the message says it has.
    let mut columns = Vec::new();
    let mut ranges = row.ranges();
    while let Some(range) = ranges.next()? {
        let value = range.and_then(|range| row.buffer().get(range));
        columns.push(value.map(|value| String::from_utf8_lossy(value).into_owned()));
    }
    Ok(columns)
}

impl Wire<super::Socket> {
    pub(crate) const fn is_unix(&self) -> bool {
        self.stream.is_unix()
    }
}

#[cfg(test)]
mod tests {
    use testbed::mutation;

    use crate::source::connection::hostile;

    /// What a server answers, one after the other.
    const ANSWERS: [&[u8]; 9] = [
        b"R\0\0\0\x08\0\0\0\0S\0\0\0\x16server_version\x0015\0Z\0\0\0\x05I",
        b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0R\0\0\0\x0c\0\0\0\x0br=ab",
        b"R\0\0\0\x0c\0\0\0\x05saltK\0\0\0\x0c\0\0\0\x01\0\0\0\x02",
        b"E\0\0\0\x1eSFATAL\0C42501\0Mno right\0\0\0",
        b"N\0\0\0\x17SNOTICE\0C00000\0Mhm\0\0Z\0\0\0\x05I",
        b"T\0\0\0\x1b\0\x01abc\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
        b"D\0\0\0\x11\0\x02\0\0\0\x03abc\xff\xff\xff\xffC\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I",
        b"W\0\0\0\x07\0\0\0d\0\0\0\x07abcc\0\0\0\x04Z\0\0\0\x05T",
        b"1\0\0\0\x042\0\0\0\x04n\0\0\0\x04I\0\0\0\x04A\0\0\0\x0c\0\0\0\x01a\0b\0",
    ];

    #[test]
    fn answers_with_seeded_mutations_are_rows_or_errors() {
        mutation::replay("postgresql_answers", &ANSWERS, hostile::answers);
    }
}
