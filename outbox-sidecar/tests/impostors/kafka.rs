//! A broker of Kafka that is none.

use std::io::Write;
use std::net::TcpStream;

use testbed::impostor::kafka::{
    API_VERSIONS, METADATA, USUAL, announced, answer, api_versions, metadata, read_request,
};
use testbed::impostor::{Impostor, Misdeed};

use super::{Case, checks_end_in_order};

fn configuration(port: u16) -> String {
    format!(
        "[relay]\nname = \"r\"\n[postgres]\nurl = \"postgres://u@127.0.0.1:1/d\"\n\
         [kafka.properties]\n\"bootstrap.servers\" = \"127.0.0.1:{port}\"\n"
    )
}

/// Serves requests up to one with this key, which it answers by its misdeed; `None` at the first word.
fn serve(
    stream: &mut TcpStream,
    until: Option<u16>,
    brokers: &[u16],
    misdeed: impl Fn(u32) -> Misdeed,
) -> std::io::Result<()> {
    loop {
        let request = read_request(stream)?;
        let body = match request.key {
            key if until.is_none_or(|until| until == key) => {
                return misdeed(request.correlation_id).commit(stream.try_clone()?);
            }
            API_VERSIONS => api_versions(&USUAL),
            METADATA => metadata(brokers, &[]),
            _ => return Misdeed::Silence.commit(stream.try_clone()?),
        };
        stream.write_all(&answer(request.correlation_id, &body))?;
    }
}

fn case(
    name: &'static str,
    until: Option<u16>,
    misdeed: impl Fn(u32) -> Misdeed + Send + Sync + 'static,
    words: &'static str,
) -> Case {
    let impostor = Impostor::start(move |mut stream| serve(&mut stream, until, &[], &misdeed));
    Case {
        name,
        impostor: impostor.unwrap(),
        words,
    }
}

/// No case holds a list that is null: librdkafka 2.12.1 ends the process over one, see
/// `docs/guarantees.md`, "What is not promised".
#[test]
fn whatever_a_broker_of_kafka_sends_a_check_ends_in_order() {
    use Misdeed::{Repeat, Say, SayAndClose, SayAndRepeat, Silence};
    let zeroes = || vec![0; 64 * 1024];
    let topics = |count: usize| (0..count).map(|n| format!("topic-{n}")).collect::<Vec<_>>();
    let ports: Vec<u16> = vec![1; 100];
    let at = Some(METADATA);
    let cases = vec![
        case("silence", None, |_| Silence, "the broker does not answer"),
        case(
            "close",
            None,
            |_| SayAndClose(vec![]),
            "connection closed by peer",
        ),
        case(
            "http",
            None,
            |_| SayAndClose(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            "Invalid response size 1213486160",
        ),
        case(
            "garbage",
            None,
            |_| Repeat(b"\x00\x00\x00\x20garbage".to_vec()),
            "Invalid response size 543646066",
        ),
        case(
            "zeroes",
            None,
            move |_| Repeat(zeroes()),
            "Invalid response size 0",
        ),
        case(
            "length -1",
            None,
            move |id| SayAndRepeat(announced(u32::MAX, id, &[]), zeroes()),
            "Invalid response size -1",
        ),
        case(
            "length 2 GiB",
            None,
            move |id| SayAndRepeat(announced(0x7fff_ffff, id, &[]), zeroes()),
            "Invalid response size 2147483647",
        ),
        case(
            "length 99 MB",
            None,
            move |id| SayAndRepeat(announced(99_000_000, id, &[]), zeroes()),
            "Invalid response size 99000000",
        ),
        case(
            "half and silence",
            None,
            |id| Say(announced(1000, id, &[0; 10])),
            "the broker does not answer",
        ),
        case(
            "half and close",
            None,
            |id| SayAndClose(announced(1000, id, &[0; 10])),
            "connection closed by peer",
        ),
        case(
            "other correlation",
            None,
            |id| Repeat(answer(id + 77, &api_versions(&USUAL))),
            "the broker does not answer",
        ),
        case(
            "no requests",
            None,
            |id| Say(answer(id, &api_versions(&[]))),
            "Required feature not supported by broker",
        ),
        case(
            "unknown error",
            None,
            |id| Say(answer(id, &[0x7f, 0x7f, 1, 0, 0, 0, 0, 0])),
            "ApiVersionRequest failed",
        ),
        case("silence at metadata", at, |_| Silence, "Timed out"),
        case(
            "half a table at metadata",
            at,
            |id| Say(answer(id, &metadata(&[1; 9], &[])[..40])),
            "the broker does not answer",
        ),
        case(
            "99 MB at metadata",
            at,
            move |id| SayAndRepeat(announced(99_000_000, id, &[]), zeroes()),
            "Invalid response size 99000000",
        ),
        case(
            "no brokers",
            at,
            |id| Say(answer(id, &metadata(&[], &[]))),
            "Timed out",
        ),
        case(
            "100 brokers",
            at,
            move |id| Say(answer(id, &metadata(&ports, &[]))),
            "Connection refused",
        ),
        case(
            "100,000 topics",
            at,
            move |id| Say(answer(id, &metadata(&[1], &topics(100_000)))),
            "the broker does not answer",
        ),
    ];
    checks_end_in_order(cases, configuration);
}
