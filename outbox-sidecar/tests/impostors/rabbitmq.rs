//! A broker of AMQP 0-9-1 that is none.

use std::io::Write;
use std::net::TcpStream;

use testbed::impostor::amqp::{
    frame, nested_tables, read_frame, read_header, secure, start, tune, welcome,
};
use testbed::impostor::{Impostor, Misdeed};

use super::{Case, checks_end_in_order};

fn configuration(port: u16) -> String {
    format!(
        "[relay]\nname = \"r\"\n[postgres]\nurl = \"postgres://u@127.0.0.1:1/d\"\n\
         [rabbitmq]\nurl = \"amqp://u:p@127.0.0.1:{port}\"\n"
    )
}

/// How far the client is let in.
#[derive(Clone, Copy)]
enum Moment {
    /// It has said which version it speaks.
    Greeted,
    /// It has said who it is.
    Proven,
    /// It has opened the connection.
    Open,
    /// It has opened a channel, as far as it is concerned.
    Asked,
}

fn let_in(stream: &mut TcpStream, moment: Moment) -> std::io::Result<()> {
    match moment {
        Moment::Greeted => read_header(stream),
        Moment::Proven => {
            read_header(stream)?;
            stream.write_all(&start(&[]))?;
            read_frame(stream).map(drop)
        }
        Moment::Open => welcome(stream, 131_072),
        Moment::Asked => {
            welcome(stream, 131_072)?;
            read_frame(stream).map(drop)
        }
    }
}

fn case(name: &'static str, moment: Moment, misdeed: Misdeed, words: &'static str) -> Case {
    let impostor = Impostor::start(move |mut stream| {
        let_in(&mut stream, moment)?;
        misdeed.commit(stream)
    });
    Case {
        name,
        impostor: impostor.unwrap(),
        words,
    }
}

/// Lets the client in with these limits of a connection, and says nothing more.
fn tuned(name: &'static str, channel_max: u16, frame_max: u32, words: &'static str) -> Case {
    let impostor = Impostor::start(move |mut stream| {
        read_header(&mut stream)?;
        stream.write_all(&start(&[]))?;
        read_frame(&mut stream)?;
        stream.write_all(&tune(channel_max, frame_max, 0))?;
        read_frame(&mut stream)?;
        read_frame(&mut stream)?;
        stream.write_all(&testbed::impostor::amqp::method(0, 10, 41, &[0]))?;
        Misdeed::Silence.commit(stream)
    });
    Case {
        name,
        impostor: impostor.unwrap(),
        words,
    }
}

#[test]
fn whatever_a_broker_of_queues_sends_a_check_ends_in_order() {
    use Misdeed::{Repeat, Say, SayAndClose, SayAndRepeat, Silence};
    use Moment::{Asked, Greeted, Open, Proven};
    let half = start(&[])[..20].to_vec();
    let heartbeat = || frame(8, 0, &[]);
    let huge = |bytes: u32| [&[1, 0, 0][..], &bytes.to_be_bytes()].concat();
    let zeroes = || vec![0; 64 * 1024];
    let cases = vec![
        case("silence", Greeted, Silence, "no answer within 10 s"),
        case("close", Greeted, SayAndClose(vec![]), ""),
        case(
            "http",
            Greeted,
            SayAndClose(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            "",
        ),
        case(
            "other version",
            Greeted,
            SayAndClose(b"AMQP\0\0\x09\x01".to_vec()),
            "",
        ),
        case("garbage", Greeted, Repeat(b"\x8f\x01garbage".to_vec()), ""),
        case("zeroes", Greeted, Repeat(zeroes()), ""),
        case(
            "half and silence",
            Greeted,
            Say(half.clone()),
            "no answer within 10 s",
        ),
        case("half and close", Greeted, SayAndClose(half), ""),
        case(
            "huge frame",
            Greeted,
            SayAndRepeat(huge(u32::MAX), zeroes()),
            "",
        ),
        case(
            "100 MB frame",
            Greeted,
            SayAndRepeat(huge(100_000_000), zeroes()),
            "",
        ),
        case(
            "nested tables",
            Greeted,
            Say(start(&nested_tables(15_000))),
            "",
        ),
        case("endless start", Greeted, Repeat(start(&[])), ""),
        case("endless secure", Proven, Repeat(secure()), ""),
        case("endless tune", Proven, Repeat(tune(0, 131_072, 1)), ""),
        case("endless heartbeats first", Greeted, Repeat(heartbeat()), ""),
        case(
            "silence when proven",
            Proven,
            Silence,
            "no answer within 10 s",
        ),
        case("silence when open", Open, Silence, "no answer within 10 s"),
        case(
            "endless heartbeats",
            Open,
            Repeat(heartbeat()),
            "without end",
        ),
        case(
            "silence when asked",
            Asked,
            Silence,
            "no answer within 10 s",
        ),
        case(
            "huge frame when asked",
            Asked,
            SayAndRepeat(huge(u32::MAX), zeroes()),
            "",
        ),
        case("close when asked", Asked, SayAndClose(vec![]), ""),
        tuned("no limit of frames", 0, 0, "no answer within 10 s"),
        tuned("frames of 4 GiB", 0, u32::MAX, "no answer within 10 s"),
        tuned("frames of 1 GiB", 0, 1 << 30, "no answer within 10 s"),
        tuned("frames of 1 byte", 1, 1, "no answer within 10 s"),
    ];
    checks_end_in_order(cases, configuration);
}
