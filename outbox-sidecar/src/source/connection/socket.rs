use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::AddressError;
use super::authentication::Channel;
use super::parameters::Parameters;
use super::tls::TlsSocket;

/// After how long without traffic the kernel asks a peer whether it is still there, unless
/// `keepalives_idle` says otherwise, and `keepalives_interval` for the times after that.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// How long what we sent may stay unacknowledged, unless `tcp_user_timeout` says otherwise. Every
/// second we send a status, so this is how soon a severed network is noticed.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// How the kernel finds out that a peer is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    keepalives: bool,
    idle: Duration,
    interval: Duration,
    count: Option<u32>,
    unacknowledged_max: Duration,
}

impl Liveness {
    pub(super) fn read(parameters: &Parameters) -> Result<Self, AddressError> {
        let number = "a whole number";
        let keepalives = parameters.number::<i32>("keepalives", number)?;
        let count = parameters.number::<u32>("keepalives_count", number)?;
        let unacknowledged = parameters.number::<i32>("tcp_user_timeout", number)?;
        let unacknowledged = unacknowledged
            .and_then(|milliseconds| u64::try_from(milliseconds).ok())
            .filter(|milliseconds| *milliseconds > 0);
        let idle = parameters.seconds("keepalives_idle")?;
        let interval = parameters.seconds("keepalives_interval")?;
        Ok(Self {
            keepalives: keepalives != Some(0),
            idle: idle.unwrap_or(KEEPALIVE_IDLE),
            interval: interval.unwrap_or(KEEPALIVE_IDLE),
            count: count.filter(|count| *count > 0),
            unacknowledged_max: unacknowledged.map_or(UNACKNOWLEDGED_MAX, Duration::from_millis),
        })
    }

    fn apply(self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        if self.keepalives {
            let mut keepalive = TcpKeepalive::new()
                .with_time(self.idle)
                .with_interval(self.interval);
            if let Some(count) = self.count {
                keepalive = keepalive.with_retries(count);
            }
            socket.set_tcp_keepalive(&keepalive)?;
        }
        // Zero is the kernel's own, a quarter of an hour.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.unacknowledged_max))?;
        #[cfg(not(target_os = "linux"))]
        let _ = self.unacknowledged_max;
        Ok(())
    }
}

/// A socket of any kind.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsSocket>),
}

impl Socket {
    pub(super) async fn unix(directory: &Path, port: u16) -> io::Result<Self> {
        let path = directory.join(format!(".s.PGSQL.{port}"));
        Ok(Self::Unix(UnixStream::connect(path).await?))
    }

    pub(crate) const fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// What the way to the server protects.
    pub(crate) fn channel(&self) -> Channel {
        match self {
            Self::Tcp(_) => Channel::Open,
            Self::Unix(_) => Channel::Local,
            Self::Tls(socket) => Channel::Encrypted {
                end_point: socket.end_point.clone(),
            },
        }
    }
}

/// Tries each address that a name stands for; one that does not answer costs the others no time of
/// theirs.
pub(super) async fn reach(
    name: &str,
    port: u16,
    address_max: Duration,
    liveness: Liveness,
) -> io::Result<TcpStream> {
    let found = timeout(address_max, lookup_host((name, port))).await??;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in found {
        match timeout(address_max, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                liveness.apply(&stream)?;
                return Ok(stream);
            }
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
            Self::Tls(socket) => Pin::new(&mut socket.stream).poll_read(context, buffer),
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
            Self::Tls(socket) => Pin::new(&mut socket.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(socket) => Pin::new(&mut socket.stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(socket) => Pin::new(&mut socket.stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::connection::Surroundings;

    #[tokio::test]
    async fn the_kernel_is_told_how_to_find_out_that_a_peer_is_gone() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let of = async |text: &str| {
            let parameters = Parameters::read(text, &Surroundings::default()).unwrap();
            let liveness = Liveness::read(&parameters).unwrap();
            let limit = Duration::from_secs(10);
            reach("127.0.0.1", port, limit, liveness).await.unwrap()
        };
        let stream = of("keepalives_idle=7 keepalives_interval=3 keepalives_count=2").await;
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
        let interval = socket.tcp_keepalive_interval().unwrap();
        assert_eq!(interval, Duration::from_secs(3));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 2);
        let stream = of("").await;
        let idle = SockRef::from(&stream).tcp_keepalive_time().unwrap();
        assert_eq!(idle, KEEPALIVE_IDLE);
        let stream = of("keepalives=0 tcp_user_timeout=4000").await;
        let socket = SockRef::from(&stream);
        assert!(!socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(4))
        );
    }
}
