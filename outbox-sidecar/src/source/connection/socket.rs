use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_postgres::config::Host;

/// After how long without traffic the kernel asks a peer whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// A socket of either kind.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(super) async fn connect(
        host: &Host,
        port: u16,
        address_max: Duration,
        unacknowledged_max: Duration,
    ) -> io::Result<Self> {
        match host {
            Host::Tcp(name) if name.starts_with('/') => Self::unix(Path::new(name), port).await,
            Host::Tcp(name) => {
                let stream = reach(name, port, address_max).await?;
                stream.set_nodelay(true)?;
                let keepalive = TcpKeepalive::new()
                    .with_time(KEEPALIVE_IDLE)
                    .with_interval(KEEPALIVE_IDLE);
                let socket = SockRef::from(&stream);
                socket.set_tcp_keepalive(&keepalive)?;
                // Zero is the kernel's own, a quarter of an hour.
                #[cfg(target_os = "linux")]
                socket.set_tcp_user_timeout(Some(unacknowledged_max))?;
                #[cfg(not(target_os = "linux"))]
                let _ = unacknowledged_max;
                Ok(Self::Tcp(stream))
            }
            Host::Unix(directory) => Self::unix(directory, port).await,
        }
    }

    async fn unix(directory: &Path, port: u16) -> io::Result<Self> {
        let path: PathBuf = directory.join(format!(".s.PGSQL.{port}"));
        Ok(Self::Unix(UnixStream::connect(path).await?))
    }

    pub(crate) const fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

/// Tries each address that a name stands for; one that does not answer costs the others no time of
/// theirs.
async fn reach(name: &str, port: u16, address_max: Duration) -> io::Result<TcpStream> {
    let found = timeout(address_max, lookup_host((name, port))).await??;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in found {
        match timeout(address_max, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(elapsed) => failure = elapsed.into(),
        }
    }
    Err(failure)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
