use std::future::{Ready, ready};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::{DummyIO, Task};

use super::Stream;

/// The runtime of this process, for lapin, with connections of our own kind.
#[derive(Clone, Debug)]
pub(in crate::sink::rabbitmq) struct TransportRuntime(Tokio);

impl TransportRuntime {
    /// The one that calls this.
    pub(in crate::sink::rabbitmq) fn current() -> Self {
        Self(Tokio::default().with_handle(tokio::runtime::Handle::current()))
    }
}

impl RuntimeKit for TransportRuntime {}

impl Executor for TransportRuntime {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for TransportRuntime {
    type TcpStream = Stream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<
        impl futures_util::io::AsyncRead + futures_util::io::AsyncWrite + Send + Unpin + 'static,
    > {
        Err::<DummyIO, _>(by_dialler())
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(
        &self,
        time: Duration,
    ) -> impl futures_util::Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let never: Ready<io::Result<Stream>> = ready(Err(by_dialler()));
        never
    }
}

/// lapin asks the closure that it was given, and nobody else.
fn by_dialler() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "connections are made by the dialler",
    )
}
