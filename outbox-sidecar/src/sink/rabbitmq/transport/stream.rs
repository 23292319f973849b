use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::screen::Screen;

/// How much is read at once.
const READ_BYTES: usize = 32 * 1024;

/// What carries the bytes.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Carrier for T {}

pub(super) type Socket = Box<dyn Carrier>;

/// Its lifeline was dropped.
pub(super) fn given_up() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the connection was given up",
    )
}

/// A connection as lapin sees it: whole frames that a broker may send, and an end once nobody wants
/// it any more.
pub(in crate::sink::rabbitmq) struct Stream {
    socket: Socket,
    screen: Screen,
    lifeline: oneshot::Receiver<()>,
    /// What one read brings.
    block: Box<[u8]>,
    /// What has arrived; of it the first are frames that have passed.
    arrived: BytesMut,
    passed: usize,
}

impl Stream {
    pub(super) fn new(socket: Socket, screen: Screen, lifeline: oneshot::Receiver<()>) -> Self {
        Self {
            socket,
            screen,
            lifeline,
            block: vec![0; READ_BYTES].into_boxed_slice(),
            arrived: BytesMut::new(),
            passed: 0,
        }
    }

    /// Reads until a whole frame is there; `false` at the end of the connection.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.passed == 0 {
            let mut buffer = ReadBuf::new(&mut self.block);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(false));
            }
            self.screen.received(buffer.filled().len())?;
            self.arrived.extend_from_slice(buffer.filled());
            self.passed = self.screen.pass(&self.arrived)?;
        }
        Poll::Ready(Ok(true))
    }
}

impl futures_util::io::AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Nothing is ever sent through it.
        if Pin::new(&mut this.lifeline).poll(context).is_ready() {
            return Poll::Ready(Err(given_up()));
        }
        if !ready!(this.poll_frame(context))? {
            return Poll::Ready(Ok(0));
        }
        let bytes = this.passed.min(buffer.len());
        let taken = this.arrived.get(..bytes).unwrap_or_default();
        if let Some(room) = buffer.get_mut(..bytes) {
            room.copy_from_slice(taken);
        }
        this.arrived.advance(bytes);
        this.passed -= bytes;
        Poll::Ready(Ok(bytes))
    }
}

impl futures_util::io::AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.socket).poll_write(context, bytes))?;
        this.screen.sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.socket).poll_write_vectored(context, parts))?;
        this.screen.sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
