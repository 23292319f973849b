//! One client's connection, frame by frame.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use crate::proxy::kafka::fault::{Action, Injected, Stage};
use crate::proxy::kafka::ledger::Ledger;
use crate::proxy::kafka::request::{Request, correlation_id};

/// A fetch of a consumer may be of 50 MiB; whoever claims more speaks something else.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long the broker may take to answer what was let go, before whatever waits for that goes on.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The connection is to be reset.
struct Cut;

/// The requests that the broker has not answered.
#[derive(Default)]
struct Unanswered {
    by_correlation_id: Mutex<HashMap<i32, Awaited>>,
    none_left: Notify,
}

/// A request, and what happens to its answer.
struct Awaited {
    request: Request,
    strike: Option<(Action, Injected)>,
}

impl Unanswered {
    fn requests(&self) -> MutexGuard<'_, HashMap<i32, Awaited>> {
        self.by_correlation_id
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries frames both ways until the client has ended and the broker has answered everything, or
/// the connection is cut.
pub(super) async fn carry(number: u64, client: TcpStream, broker: TcpStream, ledger: &Ledger) {
    // Lets the close send a reset, as a broken network path would end.
    let _ = (client.set_zero_linger(), client.set_nodelay(true));
    let _ = broker.set_nodelay(true);
    let (client_read, client_write) = client.into_split();
    let (broker_read, broker_write) = broker.into_split();
    let unanswered = Unanswered::default();
    let _ = tokio::try_join!(
        requests(number, client_read, broker_write, ledger, &unanswered),
        answers(broker_read, client_write, &unanswered)
    );
    for (_, awaited) in unanswered.requests().drain() {
        if let Some((_, injected)) = awaited.strike {
            injected.settle(None);
        }
    }
}

/// Carries requests to the broker until the client has ended and everything is answered.
async fn requests(
    number: u64,
    mut client: OwnedReadHalf,
    mut broker: OwnedWriteHalf,
    ledger: &Ledger,
    unanswered: &Unanswered,
) -> Result<(), Cut> {
    while let Some(frame) = read_frame(&mut client).await {
        if let Some(request) = Request::read(&frame) {
            let verdict = ledger.judge(number, &request);
            for (injected, is_later) in verdict.let_go {
                injected.let_go(is_later);
                // Whatever became of it: the request behind it must not wait for ever.
                let _ = injected.reached(Stage::Settled, ANSWER_MAX).await;
            }
            match &verdict.strike {
                Some((Action::Hold(_), injected)) => injected.until_let_go().await,
                Some((Action::Delay(time), injected)) => {
                    tokio::time::sleep(*time).await;
                    ledger.passed(&request);
                    injected.let_go(false);
                }
                Some((Action::CutBefore, injected)) => {
                    injected.settle(None);
                    return Err(Cut);
                }
                _ => {}
            }
            let awaited = Awaited {
                strike: verdict.strike,
                request,
            };
            let id = awaited.request.correlation_id;
            unanswered.requests().insert(id, awaited);
        }
        if write_frame(&mut broker, &frame).await.is_err() {
            return Err(Cut);
        }
    }
    let answered = async {
        while !unanswered.requests().is_empty() {
            unanswered.none_left.notified().await;
        }
    };
    let _ = tokio::time::timeout(ANSWER_MAX, answered).await;
    let _ = broker.shutdown().await;
    Ok(())
}

/// Carries answers to the client until the broker ends.
async fn answers(
    mut broker: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    unanswered: &Unanswered,
) -> Result<(), Cut> {
    let mut is_silent = false;
    while let Some(frame) = read_frame(&mut broker).await {
        let id = correlation_id(&frame);
        let awaited = id.and_then(|id| unanswered.requests().remove(&id));
        if let Some(Awaited { request, strike }) = awaited {
            if let Some((action, injected)) = strike {
                match action {
                    Action::HoldAnswer(_) => injected.until_let_go().await,
                    Action::DelayAnswer(time) => tokio::time::sleep(time).await,
                    Action::DropAnswer => is_silent = true,
                    Action::Hold(_) | Action::Delay(_) => {}
                    Action::CutAfter | Action::CutBefore => {
                        injected.settle(request.error_code(&frame));
                        return Err(Cut);
                    }
                }
                injected.settle(request.error_code(&frame));
            }
            unanswered.none_left.notify_one();
        }
        if !is_silent {
            // A client that is gone needs no answers; the broker's must still be read.
            let _ = write_frame(&mut client, &frame).await;
        }
    }
    let _ = client.shutdown().await;
    Ok(())
}

/// A frame without its length; `None` at the end of the stream, or of what makes sense.
async fn read_frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = usize::try_from(from.read_i32().await.ok()?).ok()?;
    if length > FRAME_BYTES_MAX {
        return None;
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

async fn write_frame(to: &mut OwnedWriteHalf, frame: &[u8]) -> std::io::Result<()> {
    let length = i32::try_from(frame.len()).map_err(std::io::Error::other)?;
    to.write_all(&[&length.to_be_bytes(), frame].concat()).await
}
