//! A TCP proxy on 127.0.0.1 that forwards, slows down, cuts, holds everything back, or refuses.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::error::Error;
use crate::ports::ReservedPort;

/// Held back at most for each direction of a connection, the kernel's buffers aside.
const BUFFER_BYTES: usize = 64 * 1024;
/// A connection that is slowed down carries so many parts a second.
const PARTS_PER_SECOND: u32 = 20;
/// The accepting loop needs microseconds, on a busy machine a little more.
const APPLIED_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    BlackHole,
    Refuse,
}

#[derive(Debug, Clone)]
struct State {
    upstream: Option<String>,
    mode: Mode,
    /// What each direction of a connection carries; `None` without a limit.
    bytes_per_second_max: Option<NonZeroU32>,
    /// Counts the cuts: a connection ends when it grows.
    cuts: u64,
    ended: bool,
    /// Counts the changes.
    version: u64,
}

/// The version of the state that the accepting loop has carried out.
type Applied = Arc<(Mutex<u64>, Condvar)>;

/// A proxy with a thread of its own, so that a test that blocks does not stop it. It starts out
/// forwarding; dropped, it cuts every connection and ends.
#[derive(Debug)]
pub struct TcpProxy {
    port: ReservedPort,
    state: watch::Sender<State>,
    applied: Applied,
    thread: Option<JoinHandle<()>>,
}

impl TcpProxy {
    /// A proxy to `upstream`, `host:port`.
    ///
    /// # Errors
    /// When no port is free or the thread cannot be started.
    pub fn start(upstream: &str) -> Result<Self, Error> {
        let proxy = Self::start_without_upstream()?;
        proxy.set_upstream(upstream);
        Ok(proxy)
    }

    /// A proxy that closes every connection until [`set_upstream`](Self::set_upstream) is called:
    /// for a server that has to be told its proxy's port when it starts.
    ///
    /// # Errors
    /// When no port is free or the thread cannot be started.
    pub fn start_without_upstream() -> Result<Self, Error> {
        let fail = || Error::because("the proxy cannot be started");
        let port = ReservedPort::find()?;
        let number = port.number();
        let initial = State {
            upstream: None,
            mode: Mode::Forward,
            bytes_per_second_max: None,
            cuts: 0,
            ended: false,
            version: 0,
        };
        let (state, seen) = watch::channel(initial);
        let applied = Applied::default();
        let serving = Arc::clone(&applied);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(fail())?;
        let listener = runtime.block_on(listen(number)).map_err(fail())?;
        let thread = std::thread::Builder::new()
            .name("tcp-proxy".to_owned())
            .spawn(move || runtime.block_on(serve(number, listener, seen, &serving)))
            .map_err(fail())?;
        Ok(Self {
            port,
            state,
            applied,
            thread: Some(thread),
        })
    }

    /// The proxy's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Forwards new connections to another server; those that are open stay with theirs.
    pub fn set_upstream(&self, upstream: &str) {
        self.change(|state| state.upstream = Some(upstream.to_owned()));
    }

    /// Forwards (again). What was held back by [`black_hole`](Self::black_hole) arrives late, as
    /// after a partition of a network.
    pub fn forward(&self) {
        self.change(|state| state.mode = Mode::Forward);
    }

    /// Carries at most so many bytes a second from now on, in each direction of each connection,
    /// open or new; 0 takes the limit away. Bytes wait, none is lost, and connections do not share:
    /// a slow network path, not a full one.
    pub fn limit_bandwidth(&self, bytes_per_second_max: u32) {
        self.change(|state| state.bytes_per_second_max = NonZeroU32::new(bytes_per_second_max));
    }

    /// Resets every open connection; new ones are served as before.
    pub fn cut(&self) {
        self.change(|state| state.cuts += 1);
    }

    /// Keeps connections open and accepts new ones, but lets no byte through, either way.
    pub fn black_hole(&self) {
        self.change(|state| state.mode = Mode::BlackHole);
    }

    /// Resets every open connection and refuses new ones.
    pub fn refuse(&self) {
        self.change(|state| {
            state.mode = Mode::Refuse;
            state.cuts += 1;
        });
    }

    /// Changes the state; returns once new connections are treated accordingly.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut wanted = 0;
        self.state.send_modify(|state| {
            change(state);
            state.version += 1;
            wanted = state.version;
        });
        let (version, changed) = &*self.applied;
        let version = version.lock().unwrap_or_else(PoisonError::into_inner);
        // A thread that ended answers no more: then nothing is accepted, either.
        drop(changed.wait_timeout_while(version, APPLIED_MAX, |version| *version < wanted));
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.state.send_modify(|state| state.ended = true);
        if let Some(thread) = self.thread.take() {
            // A panic there was already printed by the runtime.
            drop(thread.join());
        }
    }
}

async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

async fn serve(
    port: u16,
    listener: TcpListener,
    mut seen: watch::Receiver<State>,
    applied: &Applied,
) {
    let mut listener = Some(listener);
    loop {
        let state = seen.borrow_and_update().clone();
        if state.ended {
            return;
        }
        if state.mode == Mode::Refuse {
            // Nobody listens: the kernel refuses.
            listener = None;
        } else if listener.is_none() {
            listener = listen(port).await.ok();
        }
        let (version, changed) = &**applied;
        *version.lock().unwrap_or_else(PoisonError::into_inner) = state.version;
        changed.notify_all();
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accept => {
                if let Ok((client, _)) = accepted {
                    tokio::spawn(connection(client, seen.clone()));
                }
            }
            changed = seen.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// One client's connection, until one side closes it or it is cut.
async fn connection(client: TcpStream, seen: watch::Receiver<State>) {
    let cuts = seen.borrow().cuts;
    let mut cut = seen.clone();
    let upstream = async {
        forwarding(&mut seen.clone()).await;
        let upstream = seen.borrow().upstream.clone()?;
        TcpStream::connect(upstream).await.ok()
    };
    let upstream = tokio::select! {
        upstream = upstream => upstream,
        _ = cut.wait_for(|state| state.cuts > cuts || state.ended) => None,
    };
    // Lets the close send a reset, as a broken network path would end.
    let _ = client.set_zero_linger();
    let Some(upstream) = upstream else { return };
    let _ = (
        client.set_nodelay(true),
        upstream.set_nodelay(true),
        upstream.set_zero_linger(),
    );
    let (client_read, client_write) = client.into_split();
    let (upstream_read, upstream_write) = upstream.into_split();
    let both = async {
        tokio::join!(
            pump(client_read, upstream_write, seen.clone()),
            pump(upstream_read, client_write, seen.clone())
        )
    };
    tokio::select! {
        _ = both => {}
        _ = cut.wait_for(|state| state.cuts > cuts || state.ended) => {}
    }
}

/// Carries bytes one way while the proxy forwards; passes the end on.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut seen: watch::Receiver<State>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        forwarding(&mut seen).await;
        let limit = seen.borrow().bytes_per_second_max;
        let part = limit.map_or(BUFFER_BYTES, |limit| {
            BUFFER_BYTES.min((limit.get() / PARTS_PER_SECOND).max(1) as usize)
        });
        let room = buffer.get_mut(..part).unwrap_or_default();
        let Ok(count) = from.read(room).await else {
            break;
        };
        // The hole may have opened, or the limit changed, while we waited for these bytes.
        forwarding(&mut seen).await;
        let limit = seen.borrow().bytes_per_second_max;
        if let (Some(limit), Ok(bytes)) = (limit, u32::try_from(count)) {
            tokio::time::sleep(Duration::from_secs(1) * bytes / limit.get()).await;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() || to.write_all(bytes).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

async fn forwarding(seen: &mut watch::Receiver<State>) {
    // An error means that the proxy is gone; the connection is then cut anyway.
    let _ = seen.wait_for(|state| state.mode == Mode::Forward).await;
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    /// Echoes until the client ends.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    std::io::copy(&mut stream.try_clone().unwrap(), &mut stream)
                });
            }
        });
        address
    }

    fn connect(proxy: &TcpProxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    fn call(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text)?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn it_forwards_and_passes_the_end_on() {
        let proxy = TcpProxy::start(&echo()).unwrap();
        let mut stream = connect(&proxy);
        assert_eq!(call(&mut stream, b"hello").unwrap(), b"hello");
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_limit_slows_open_connections_down_and_loses_nothing() {
        let proxy = TcpProxy::start(&echo()).unwrap();
        let mut stream = connect(&proxy);
        call(&mut stream, b"hello").unwrap();
        proxy.limit_bandwidth(100_000);
        let sent: Vec<u8> = (0..50_000_u32)
            .map(|number| number.to_le_bytes()[0])
            .collect();
        let began = std::time::Instant::now();
        assert_eq!(call(&mut stream, &sent).unwrap(), sent);
        // What a limit promises is a shortest time.
        assert!(began.elapsed() >= Duration::from_millis(500));
        proxy.limit_bandwidth(0);
        assert_eq!(call(&mut stream, &sent).unwrap(), sent);
    }

    #[test]
    fn a_cut_ends_open_connections_only() {
        let proxy = TcpProxy::start(&echo()).unwrap();
        let mut stream = connect(&proxy);
        call(&mut stream, b"hello").unwrap();
        proxy.cut();
        assert_ne!(stream.read(&mut [0; 1]).ok(), Some(1));
        assert_eq!(call(&mut connect(&proxy), b"again").unwrap(), b"again");
    }

    #[test]
    fn a_black_hole_holds_back_and_a_heal_delivers() {
        let proxy = TcpProxy::start(&echo()).unwrap();
        let mut stream = connect(&proxy);
        call(&mut stream, b"hello").unwrap();
        proxy.black_hole();
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let held = call(&mut stream, b"later").unwrap_err().kind();
        assert!(
            matches!(held, ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{held:?}"
        );
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        proxy.forward();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"later");
    }

    #[test]
    fn it_refuses_until_it_forwards_again() {
        let proxy = TcpProxy::start(&echo()).unwrap();
        let mut stream = connect(&proxy);
        call(&mut stream, b"hello").unwrap();
        proxy.refuse();
        assert_ne!(stream.read(&mut [0; 1]).ok(), Some(1));
        assert!(TcpStream::connect(proxy.address()).is_err());
        proxy.forward();
        let mut stream = connect(&proxy);
        assert_eq!(call(&mut stream, b"again").unwrap(), b"again");
    }
}
