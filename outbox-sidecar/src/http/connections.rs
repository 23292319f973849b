use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// What one visitor may take of us.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// The most connections at one time; further ones wait in the kernel's queue.
    pub(super) connections_max: usize,
    /// The longest a connection lives, whatever it is busy with.
    pub(super) lifetime_max: Duration,
    /// The most bytes it may send.
    pub(super) bytes_max: usize,
}

/// Enough for a kubelet, a few scrapers and somebody who looks.
pub(super) const LIMITS: ConnectionLimits = ConnectionLimits {
    connections_max: 32,
    lifetime_max: Duration::from_secs(10),
    bytes_max: 16 * 1024,
};

/// How long to wait when a connection cannot be accepted, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener whose connections are few, short and quiet, so that no visitor can take the relay's
/// memory or keep the probes out.
pub(super) struct BoundedListener {
    listener: TcpListener,
    limits: ConnectionLimits,
    free: Arc<Semaphore>,
}

impl BoundedListener {
    pub(super) fn new(listener: TcpListener, limits: ConnectionLimits) -> Self {
        let free = Arc::new(Semaphore::new(limits.connections_max));
        Self {
            listener,
            limits,
            free,
        }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // Nobody closes the semaphore; without a permit the connection would only go uncounted.
        let permit = Arc::clone(&self.free).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let stream = BoundedStream {
                        stream,
                        end: Box::pin(tokio::time::sleep(self.limits.lifetime_max)),
                        bytes_left: self.limits.bytes_max,
                        _permit: permit,
                    };
                    return (stream, address);
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection for HTTP could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends by itself.
pub(super) struct BoundedStream {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    bytes_left: usize,
    _permit: Option<OwnedSemaphorePermit>,
}

impl BoundedStream {
    fn check_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long")),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_time(context)?;
        if self.bytes_left == 0 {
            return Poll::Ready(Err(io::Error::other("the request is too large")));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        // One read may pass the limit, by no more than the reader's own buffer.
        let count = buffer.filled().len() - before;
        self.bytes_left = self.bytes_left.saturating_sub(count);
        read
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_time(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_time(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_time(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
