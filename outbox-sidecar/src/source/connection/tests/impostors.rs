//! Servers that are none, on the connections for SQL and for replication: an error that says what came,
//! in bounded time and memory, whatever is sent before and after we are let in.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use outbox_core::relay::{FailureKind, SourceFailure};
use testbed::impostor::postgres::{
    announced, authentication, continue_scram, let_in, message, parameter, read_message,
    read_startup, row, scram,
};
use testbed::impostor::{Impostor, Misdeed};

use crate::control::connect;
use crate::source::connection::{Address, Startup};
use crate::source::replication::Replication;

/// The most that a connection may take.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Several limits of a second each, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// How far a client is let in.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// It has introduced itself.
    Introduced,
    /// It has been asked for SCRAM, and has begun with it.
    Asked,
    /// It has shown its proof, by this many iterations.
    Proven(&'static str),
    /// It is in, and has sent its first query.
    In,
}

fn let_in_to(stream: &mut TcpStream, moment: Moment) -> std::io::Result<()> {
    read_startup(stream)?;
    match moment {
        Moment::Introduced => Ok(()),
        Moment::Asked => {
            stream.write_all(&scram())?;
            read_message(stream).map(drop)
        }
        Moment::Proven(iterations) => {
            stream.write_all(&scram())?;
            continue_scram(stream, iterations)?;
            read_message(stream).map(drop)
        }
        Moment::In => {
            stream.write_all(&let_in())?;
            read_message(stream).map(drop)
        }
    }
}

/// What comes of a connection for SQL, and of one for replication up to its first command.
async fn fail(port: u16, limit_s: u32, replicates: bool) -> SourceFailure {
    let text = format!(
        "host=127.0.0.1 port={port} user=u password=canary dbname=d sslmode=disable \
         connect_timeout={limit_s}"
    );
    let address = Address::parse(&text).unwrap();
    if !replicates {
        let connected = connect(&address, "tests", || {}).await;
        return connected.map(drop).unwrap_err();
    }
    let startup = Startup {
        application_name: "tests".to_owned(),
        wal_sender_timeout: Duration::from_secs(60),
    };
    match Replication::connect(&address, &startup).await {
        Ok(mut connection) => connection.identify_system().await.map(drop).unwrap_err(),
        Err(error) => error,
    }
    .into()
}

/// Runs both kinds of connections before this impostor, each alone in its thread.
fn suffer(moment: Moment, misdeed: Misdeed, words: [&'static str; 2]) {
    for (replicates, words) in [false, true].into_iter().zip(words) {
        let misdeed = misdeed.clone();
        let impostor = Impostor::start(move |mut stream| {
            let_in_to(&mut stream, moment)?;
            misdeed.commit(stream)
        })
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        // Where another end is expected, a busy machine may take its time.
        let limit_s = if words.is_empty() || words.contains("within") {
            1
        } else {
            50
        };
        let began = Instant::now();
        let mut failure = None;
        let failing = fail(impostor.port(), limit_s, replicates);
        let taken = measure(|| failure = Some(runtime.block_on(failing)));
        let failure = failure.unwrap();
        let what = format!("{moment:?}, replicates {replicates}: {failure:?}");
        println!("{what}: {} bytes in {:?}", taken.bytes_max, began.elapsed());
        assert!(failure.message.contains(words), "{words:?}: {what}");
        assert!(!failure.message.contains("canary"), "{what}");
        assert!(failure.message.len() < 10_000, "{what}");
        assert!(
            taken.bytes_max < BYTES_MAX,
            "{} bytes: {what}",
            taken.bytes_max
        );
        assert!(began.elapsed() < SOON, "{what}");
        assert_eq!(impostor.visits(), 1);
        assert_ne!(failure.kind, FailureKind::SlotMissing);
    }
}

fn all_at_once(cases: Vec<(Moment, Misdeed, [&'static str; 2])>) {
    let threads: Vec<_> = cases
        .into_iter()
        .map(|(moment, misdeed, words)| std::thread::spawn(move || suffer(moment, misdeed, words)))
        .collect();
    let failed = threads.into_iter().filter_map(|thread| thread.join().err());
    assert_eq!(failed.count(), 0, "see above");
}

fn zeroes() -> Vec<u8> {
    vec![0; 64 * 1024]
}

#[test]
fn whatever_a_server_says_before_we_are_in_is_an_error_in_bounded_time_and_memory() {
    use Misdeed::{Repeat, Say, SayAndClose, SayAndRepeat, Silence};
    use Moment::{Asked, Introduced, Proven};
    let notice = message(b'N', b"SNOTICE\0C00000\0Mhm\0\0");
    let both = |words| [words, words];
    let mut cases = vec![
        (Introduced, Silence, both("no answer within 1 s")),
        (Introduced, SayAndClose(vec![]), both("closed")),
        (
            Introduced,
            Repeat(b"\x17\x03garbage".to_vec()),
            both("message"),
        ),
        (
            Introduced,
            Say(authentication(3, &[])[..6].to_vec()),
            both("no answer within 1 s"),
        ),
        (
            Introduced,
            SayAndClose(authentication(3, &[])[..6].to_vec()),
            ["bytes remaining on stream", "closed"],
        ),
        (Introduced, Repeat(notice.clone()), ["", "accepted"]),
        (Introduced, Repeat(parameter("name", "value")), both("")),
        (Introduced, Repeat(scram()), both("")),
        (
            Introduced,
            Repeat(authentication(3, &[])),
            both("cleartext password without encryption"),
        ),
        (Introduced, Repeat(authentication(5, b"salt")), both("")),
        (Introduced, Repeat(authentication(77, &[])), both("77")),
        (Introduced, Repeat(authentication(0, &[])), both("")),
        (
            Introduced,
            SayAndRepeat(announced(b'R', 60_000, b"\0\0\0\x0aSCRAM"), zeroes()),
            both(""),
        ),
        (
            Introduced,
            SayAndRepeat(announced(b'E', 0x7fff_ffff, b"SFATAL\0"), b"Mlong".to_vec()),
            both("214748364"),
        ),
        (
            Introduced,
            Say(message(
                b'E',
                &[
                    &b"SFATAL\0VFATAL\0C28000\0M"[..],
                    &vec![b'x'; 500_000],
                    b"\0\0",
                ]
                .concat(),
            )),
            both("xxx"),
        ),
        (Asked, Silence, both("no answer within 1 s")),
        (
            Asked,
            Repeat(authentication(11, b"r=other,s=c2FsdA==,i=4096")),
            both("nonce"),
        ),
        (Asked, Repeat(authentication(11, b"\xff")), both("utf-8")),
        (Asked, Repeat(authentication(12, b"v=AAAA")), both("")),
        (
            Asked,
            SayAndRepeat(authentication(0, &[]), notice),
            both(""),
        ),
        (Proven("0"), Say(authentication(12, b"v=AAAA")), both("")),
        (
            Proven("2147483648"),
            Silence,
            both("iteration count exceeds"),
        ),
        (Proven("99999999999999999999"), Silence, both("too large")),
        (
            Proven("4096"),
            Say(authentication(12, b"v=AAAA")),
            both("SCRAM verification"),
        ),
        (
            Proven("4096"),
            Say(authentication(12, b"e=other-error")),
            both("other-error"),
        ),
        (Proven("4096"), Say(authentication(0, &[])), both("")),
        (
            Proven("4096"),
            Repeat(authentication(11, b"r=again")),
            both(""),
        ),
    ];
    for length in [0, 1, 3] {
        cases.push((
            Introduced,
            Say(announced(b'R', length, &[0; 8])),
            both("message"),
        ));
    }
    for length in [0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
        let huge = announced(b'N', length, &[]);
        cases.push((Introduced, SayAndRepeat(huge, zeroes()), both("message")));
    }
    all_at_once(cases);
}

#[test]
fn whatever_a_server_answers_a_query_is_an_error_in_bounded_time_and_memory() {
    use Misdeed::{Repeat, SayAndClose, SayAndRepeat};
    use Moment::In;
    let both = |words| [words, words];
    // The driver says no more to the one who waits; why is logged.
    let sql_closed = |words| ["connection closed", words];
    let unique = (0..2000).flat_map(|number| parameter(&format!("p{number}"), "v"));
    let mut cases = vec![
        (In, SayAndClose(vec![]), both("closed")),
        (
            In,
            Repeat(b"\x17\x03garbage".to_vec()),
            sql_closed("message"),
        ),
        (
            In,
            Repeat(message(b'N', b"SNOTICE\0C00000\0Mhm\0\0")),
            sql_closed("accepted"),
        ),
        (In, Repeat(unique.collect()), sql_closed("accepted")),
        (In, Repeat(row(&["text"])), ["", "accepted"]),
        (
            In,
            SayAndRepeat(announced(b'D', 0x7fff_ffff, &[0, 1]), zeroes()),
            sql_closed("2147483648 bytes"),
        ),
        (
            In,
            SayAndRepeat(announced(b'D', 0xffff_ffff, &[0, 1]), zeroes()),
            sql_closed("message"),
        ),
        (In, Repeat(authentication(11, b"r=again")), both("")),
        (
            In,
            SayAndClose(row(&["only", "half"])[..9].to_vec()),
            both("closed"),
        ),
    ];
    let state = message(
        b'E',
        &[
            &b"SERROR\0VERROR\0CXX000\0M"[..],
            &b"\x1b[2Jx\n".repeat(50_000),
            b"\0\0",
        ]
        .concat(),
    );
    cases.push((
        In,
        Misdeed::Say([state, testbed::impostor::postgres::ready()].concat()),
        both(" [2Jx  [2Jx"),
    ));
    all_at_once(cases);
}
