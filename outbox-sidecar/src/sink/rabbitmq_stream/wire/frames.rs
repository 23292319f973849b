use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Malformed;

const LENGTH_BYTES: usize = 4;
/// How much is read at once.
pub(in super::super) const READ_BYTES: usize = 64 * 1024;

/// Why no further frame comes.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum FrameError {
    #[error("the broker closed the connection")]
    Closed,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Cuts what a broker sends into frames.
pub(in super::super) struct FrameReader<R> {
    from: R,
    buffer: BytesMut,
    frame_bytes_max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(in super::super) fn new(from: R, frame_bytes_max: usize) -> Self {
        Self {
            from,
            buffer: BytesMut::new(),
            frame_bytes_max,
        }
    }

    /// From now on a frame may be so long.
    pub(in super::super) fn allow(&mut self, frame_bytes_max: usize) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// The next frame without its length. A call that is given up loses nothing.
    pub(in super::super) async fn next(&mut self) -> Result<Bytes, FrameError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_BYTES);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::Closed);
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<Bytes>, Malformed> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > self.frame_bytes_max {
            return Err(Malformed(format!(
                "a frame of {length} bytes, at most {} are expected",
                self.frame_bytes_max
            )));
        }
        if self.buffer.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}
