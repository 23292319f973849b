//! What a server may do to a replication connection, from the login to the running copy.

mod server;
#[cfg(test)]
mod tests;

use std::time::Duration;

use outbox_core::relay::StreamEvent;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use self::server::{Pieces, Server};
use super::Replication;
use super::copy_both::CopyBoth;
use super::framing::Framing;
use super::pacing::Pacing;
use super::silence::Silence;
use super::status::{Confirmed, StatusClock};
use crate::hostile;
use crate::source::SourceError;
use crate::source::connection::{Startup, Wire, hostile as connection};
use crate::source::pgoutput::hostile as pgoutput;

/// What the wire asks for at once, and has beside it while it does.
const BUFFER_BYTES: u64 = 2 * 256 * 1024;

/// How much of an input comes at a time, in turn: less than a header, and more than some messages.
const PIECES_BYTES: [usize; 4] = [3, 1, 40, 7];

const WAL_SENDER_TIMEOUT: Duration = Duration::from_secs(3);

fn runtime() -> Option<Runtime> {
    Builder::new_current_thread().enable_time().build().ok()
}

/// A server that says what it likes does no more than to let us in or to refuse us.
pub(crate) fn conversation(input: &[u8]) {
    if server::asks_for_much_work(input) {
        return;
    }
    for end_point in [None, Some(vec![7; 32])] {
        hostile::bounded_with_buffer(BUFFER_BYTES, input, |input| converse(input, end_point));
    }
}

/// All that we ask a server for before the copy runs; over TLS where a login can be bound to it.
fn converse(input: &[u8], end_point: Option<Vec<u8>>) -> Option<Result<(), SourceError>> {
    let runtime = runtime()?;
    let address = connection::known_address()?;
    let login = connection::login(end_point);
    let startup = Startup {
        application_name: "outbox".to_owned(),
        wal_sender_timeout: WAL_SENDER_TIMEOUT,
    };
    Some(runtime.block_on(async {
        let wire = Wire::new(Server::saying(input));
        let mut replication = Replication::open(wire, &address, &startup, &login).await?;
        replication.serves_directly().await?;
        let system = replication.identify_system().await?;
        replication.timeline_history(system.timeline).await?;
        replication.create_slot("slot", true).await?;
        replication.start_replication("slot", "outbox").await
    }))
}

/// A running copy brings events until it ends, the same ones however it comes in pieces.
pub(crate) fn stream(input: &[u8]) {
    let Some(runtime) = runtime() else { return };
    let read = |pieces: &[usize]| {
        let mut read = None;
        hostile::bounded_with_buffer(BUFFER_BYTES, input, |input| {
            read = runtime.block_on(brought(input, pieces));
        });
        read
    };
    let (whole, in_pieces) = (read(&[usize::MAX]), read(&PIECES_BYTES));
    if let (Some(whole), Some(in_pieces)) = (whole, in_pieces) {
        assert_eq!(whole.is_broken, in_pieces.is_broken, "{input:?}");
        // What came in one piece with the message that ends the copy is for the next copy to bring.
        assert!(in_pieces.events.starts_with(&whole.events), "{input:?}");
        assert!(
            whole.is_broken || whole.events == in_pieces.events,
            "{input:?}"
        );
    }
}

/// What a copy brings, and whether it ended before the connection did.
struct Brought {
    events: Vec<StreamEvent>,
    is_broken: bool,
}

async fn brought(input: &[u8], pieces: &[usize]) -> Option<Brought> {
    let confirmed = Confirmed::default();
    let (chunks, _received) = mpsc::channel(1);
    let mut copy = CopyBoth {
        wire: Wire::new(tokio::io::join(
            Pieces::of(input, pieces),
            tokio::io::sink(),
        )),
        framing: Framing::default(),
        decoder: pgoutput::decoder()?,
        publication: "outbox",
        confirmed: &confirmed,
        status: StatusClock::new(WAL_SENDER_TIMEOUT),
        silence: Silence::default(),
        chunks,
        pacing: Pacing::new(false),
        warnings: 0,
    };
    let mut events = Vec::new();
    while let Ok(bytes) = copy.wire.read_more().await {
        assert!(bytes > 0);
        match copy.decode() {
            Ok(decoded) => events.extend(decoded.into_iter().filter(is_no_keepalive)),
            Err(_) => {
                return Some(Brought {
                    events,
                    is_broken: true,
                });
            }
        }
    }
    Some(Brought {
        events,
        is_broken: false,
    })
}

/// Of keepalives in one piece the last one stands for all.
fn is_no_keepalive(event: &StreamEvent) -> bool {
    !matches!(event, StreamEvent::Keepalive { .. })
}
