//! Servers that are none: they listen on 127.0.0.1, speak a server's protocol as far as a test wants,
//! and then do what harms a client that trusts them.

pub mod amqp;
pub mod kafka;
mod misdeed;
pub mod postgres;

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use misdeed::Misdeed;

use crate::error::Error;

/// The connections that are open at present, to be ended with the impostor.
type Open = Arc<Mutex<Vec<TcpStream>>>;

/// A listener that serves each connection by a function, on a thread of its own. Dropped, it ends
/// every connection.
#[derive(Debug)]
pub struct Impostor {
    port: u16,
    visits: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    open: Open,
    thread: Option<JoinHandle<()>>,
}

impl Impostor {
    /// Starts to listen. An error of the function's is the end of its connection and nothing else:
    /// clients hang up as they please.
    ///
    /// # Errors
    /// When no port is free or the thread cannot be started.
    pub fn start<F>(serve: F) -> Result<Self, Error>
    where
        F: Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
    {
        let fail = || Error::because("the impostor cannot be started");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(fail())?;
        let port = listener.local_addr().map_err(fail())?.port();
        let visits = Arc::<AtomicUsize>::default();
        let ended = Arc::<AtomicBool>::default();
        let open = Open::default();
        let (counted, over, kept) = (Arc::clone(&visits), Arc::clone(&ended), Arc::clone(&open));
        let serve = Arc::new(serve);
        let thread = std::thread::Builder::new().name("impostor".to_owned());
        let thread = thread
            .spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    counted.fetch_add(1, Ordering::AcqRel);
                    let _ = stream.set_nodelay(true);
                    let serve = Arc::clone(&serve);
                    if let Ok(copy) = stream.try_clone() {
                        kept.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(copy);
                    }
                    std::thread::spawn(move || {
                        if let Ok(whole) = stream.try_clone() {
                            let _ = serve(stream);
                            // The copy that is kept would hold it open.
                            let _ = whole.shutdown(Shutdown::Both);
                        }
                    });
                }
            })
            .map_err(fail())?;
        Ok(Self {
            port,
            visits,
            ended,
            open,
            thread: Some(thread),
        })
    }

    /// One that does the same to each visitor from the first moment on.
    ///
    /// # Errors
    /// As [`Impostor::start`].
    pub fn that(misdeed: Misdeed) -> Result<Self, Error> {
        Self::start(move |stream| misdeed.commit(stream))
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn visits(&self) -> usize {
        self.visits.load(Ordering::Acquire)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        for stream in self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the one who accepts.
        let woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            drop(thread.join());
        }
    }
}
