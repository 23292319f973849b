//! Servers that are none and have let us in: an error that says what came, or a stream that goes on and
//! can be ended, in bounded memory, whatever is sent.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use testbed::impostor::postgres::{
    announced, complete, let_in, message, read_message, read_startup, row,
};
use testbed::impostor::{Impostor, Misdeed};

use crate::source::SourceError;
use crate::source::connection::{Address, Startup};
use crate::source::pgoutput::Decoder;
use crate::source::replication::Replication;
use crate::source::replication::copy_both::CopyBoth;
use crate::source::replication::framing::Framing;
use crate::source::replication::pacing::Pacing;
use crate::source::replication::silence::Silence;
use crate::source::replication::status::{Confirmed, StatusClock};

/// The most that a stream may take: reads that wait for the relay, decoded, beside a message that arrives.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// After how long a stream that goes on is ended.
const LISTENED: Duration = Duration::from_secs(1);
/// Limits of a second each, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// One who lets us in, says who it is, and does this once we ask for the stream.
fn impostor(misdeed: Misdeed) -> Impostor {
    let serve = move |mut stream: std::net::TcpStream| {
        read_startup(&mut stream)?;
        stream.write_all(&let_in())?;
        read_message(&mut stream)?;
        let identity = row(&["7123456789012345678", "1", "0/1000", "d"]);
        stream.write_all(&[identity, complete("IDENTIFY_SYSTEM")].concat())?;
        read_message(&mut stream)?;
        misdeed.commit(stream)
    };
    Impostor::start(serve).unwrap()
}

/// Asks for the stream and reads it, until it ends or nothing more is to be learnt.
async fn stream(port: u16) -> Result<(), SourceError> {
    let text =
        format!("host=127.0.0.1 port={port} user=u dbname=d sslmode=disable connect_timeout=50");
    let address = Address::parse(&text).unwrap();
    let startup = Startup {
        application_name: "tests".to_owned(),
        wal_sender_timeout: Duration::from_secs(4),
    };
    let mut connection = Replication::connect(&address, &startup).await.unwrap();
    connection.identify_system().await.unwrap();
    connection.start_replication("s", "p").await?;
    let confirmed = Arc::new(Confirmed::default());
    // Not by a timer of the runtime: it looks at its timers seldom while so much arrives.
    let closing = Arc::clone(&confirmed);
    std::thread::spawn(move || {
        std::thread::park_timeout(LISTENED);
        closing.close();
    });
    let (chunks, mut received) = tokio::sync::mpsc::channel(4);
    let copy = CopyBoth {
        pacing: Pacing::new(false),
        wire: connection.wire,
        framing: Framing::default(),
        decoder: Decoder::new(&"outbox".parse().unwrap()),
        publication: "p",
        confirmed: &confirmed,
        status: StatusClock::new(startup.wal_sender_timeout),
        silence: Silence::default(),
        warnings: 0,
        chunks,
    };
    // Nobody must wait for room.
    let listening = async { while received.recv().await.is_some() {} };
    tokio::join!(copy.run(), listening).0
}

/// Suffers this one, alone in its thread; `None` for a stream that goes on and ends when it is told to.
fn suffer(misdeed: Misdeed, words: Option<&'static str>) {
    let impostor = impostor(misdeed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let began = Instant::now();
    let mut ended = Ok(());
    let taken = measure(|| ended = runtime.block_on(stream(impostor.port())));
    println!(
        "{ended:?}: {} bytes in {:?}",
        taken.bytes_max,
        began.elapsed()
    );
    match (words, &ended) {
        (None, Ok(())) => {}
        (Some(words), Err(error)) => {
            assert!(error.to_string().contains(words), "{words:?}: {error}")
        }
        _ => panic!("{words:?}: {ended:?}"),
    }
    assert!(
        taken.bytes_max < BYTES_MAX,
        "{} bytes: {ended:?}",
        taken.bytes_max
    );
    assert!(began.elapsed() < SOON, "{ended:?}");
}

/// What is copied, as a walsender sends it.
fn copied(content: &[u8]) -> Vec<u8> {
    message(b'd', content)
}

/// A change, at a place in the log.
fn change(content: &[u8]) -> Vec<u8> {
    copied(&[&b"w"[..], &[0; 24], content].concat())
}

#[test]
fn whatever_a_stream_carries_is_an_error_or_can_be_ended_in_bounded_memory() {
    use Misdeed::{Repeat, Say, SayAndClose, SayAndRepeat};
    let copy = message(b'W', &[0, 0, 0]);
    let zeroes = || vec![0; 64 * 1024];
    let begun = |words: &[u8]| SayAndClose([&copy, words].concat());
    let endless = |words: Vec<u8>| SayAndRepeat(copy.clone(), words);
    let notice = message(b'N', b"SWARNING\0C01000\0Mhm\0\0");
    let relation = |schema: &[u8]| change(&[&b"R\0\0\0\x07"[..], schema, b"\0t\0d\0\0"].concat());
    let keepalive = |asks| copied(&[&b"k"[..], &[0; 16], &[asks]].concat());
    let begun_row = [&b"w"[..], &[0; 24], b"I"].concat();
    let cases = vec![
        // In place of the stream.
        (SayAndClose(vec![]), Some("closed")),
        (Repeat(notice.clone()), Some("accepted")),
        (
            Repeat(row(&["text"])),
            Some("another message instead of a copy"),
        ),
        (Say(announced(b'W', 0xffff_ffff, &[])), Some("message")),
        (
            SayAndRepeat(announced(b'W', 0x7fff_ffff, &[]), zeroes()),
            Some("2147483648 bytes"),
        ),
        (
            Say(complete("START_REPLICATION")),
            Some("a completed command instead of a copy"),
        ),
        // In the stream.
        (begun(&[]), Some("closed")),
        (begun(b"\xff\xff\xffgarbage"), Some("is announced")),
        (
            begun(&announced(b'd', 0, &[])),
            Some("0 bytes is announced"),
        ),
        (
            begun(&announced(b'd', 3, &[])),
            Some("3 bytes is announced"),
        ),
        (
            SayAndRepeat(
                [&copy[..], &announced(b'd', 0x7fff_ffff, &begun_row)].concat(),
                zeroes(),
            ),
            Some("2147483647 bytes is announced"),
        ),
        (
            SayAndRepeat(
                [&copy[..], &announced(b'd', 0xffff_ffff, &begun_row)].concat(),
                zeroes(),
            ),
            Some("4294967295 bytes is announced"),
        ),
        (begun(&announced(b'd', 1000, b"w half")), Some("closed")),
        (begun(&copied(&[])), Some("CopyData")),
        (begun(&copied(b"?")), Some("unknown kind")),
        (begun(&copied(b"w short")), Some("CopyData")),
        (begun(&change(b"")), Some("CopyData")),
        (begun(&change(b"\xffgarbage")), Some("unknown change")),
        (
            begun(&change(b"I\0\0\0\x07N\xff\xff")),
            Some("not described"),
        ),
        (
            begun(&change(b"R\0\0\0\x07outbox\0message\0d\xff\xff\0")),
            Some("Relation"),
        ),
        (
            begun(&change(
                b"M\x01\0\0\0\0\0\0\0\0outbox.request.p\0\xff\xff\xff\xff",
            )),
            Some("Message"),
        ),
        (begun(&relation(&[b'n'; 2000])), Some("too long")),
        (begun(&row(&["text"])), Some("no place there")),
        (begun(&message(b'Z', b"I")), Some("no place there")),
        (begun(&message(b'c', &[])), Some("shuts down")),
        (begun(&message(b'E', b"SFATAL")), Some("")),
        (
            begun(&message(
                b'E',
                &[&b"SFATAL\0CXX000\0M"[..], &b"\x1b[2Jx\n".repeat(1_000_000)].concat(),
            )),
            Some(""),
        ),
        // Without end.
        (endless(keepalive(1)), None),
        (endless(keepalive(0)), None),
        (endless(notice), None),
        (endless(message(b'S', b"name\0value\0")), None),
        (endless(relation(b"public")), None),
        (
            endless(change(b"B\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\x01")),
            None,
        ),
        (Say([&copy[..], &keepalive(0)[..9]].concat()), None),
    ];
    let threads: Vec<_> = cases
        .into_iter()
        .map(|(misdeed, words)| std::thread::spawn(move || suffer(misdeed, words)))
        .collect();
    let failed = threads.into_iter().filter_map(|thread| thread.join().err());
    assert_eq!(failed.count(), 0, "see above");
}
