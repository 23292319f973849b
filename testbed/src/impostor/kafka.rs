//! What a broker of Kafka says.
//! <https://kafka.apache.org/protocol>

use std::io::{self, Read};
use std::net::TcpStream;

/// The longest request of a client that is read.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// The keys of requests.
pub const API_VERSIONS: u16 = 18;
/// Of the brokers and topics.
pub const METADATA: u16 = 3;

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub key: u16,
    /// The number that its answer has to carry.
    pub correlation_id: u32,
}

/// An answer with this number.
#[must_use]
pub fn answer(correlation_id: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    announced(length, correlation_id, body)
}

/// One that says that it is so long, whatever it holds.
#[must_use]
pub fn announced(length: u32, correlation_id: u32, body: &[u8]) -> Vec<u8> {
    [
        &length.to_be_bytes()[..],
        &correlation_id.to_be_bytes(),
        body,
    ]
    .concat()
}

/// Which requests are understood: each key with its highest version, none of them flexible but this one.
#[must_use]
pub fn api_versions(keys: &[(u16, u16)]) -> Vec<u8> {
    let count = u8::try_from(keys.len() + 1).unwrap_or(u8::MAX);
    let mut body = vec![0, 0, count];
    for (key, version) in keys {
        body.extend_from_slice(&key.to_be_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&version.to_be_bytes());
        body.push(0);
    }
    body.extend_from_slice(&[0; 5]);
    body
}

/// What a relay asks a broker for, by versions that are not flexible.
pub const USUAL: [(u16, u16); 10] = [
    (0, 7),
    (1, 11),
    (2, 2),
    (METADATA, 4),
    (10, 2),
    (17, 1),
    (API_VERSIONS, 3),
    (22, 1),
    (24, 0),
    (32, 1),
];

/// Metadata, version 4: brokers by their ports on 127.0.0.1, numbered from 1, and topics of a partition
/// each, which the first leads.
#[must_use]
pub fn metadata(ports: &[u16], topics: &[String]) -> Vec<u8> {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
    let text = |text: &str| {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&length[..], text.as_bytes()].concat()
    };
    let mut body = vec![0; 4];
    body.extend_from_slice(&number(ports.len()));
    for (place, port) in ports.iter().enumerate() {
        body.extend_from_slice(&number(place + 1));
        body.extend_from_slice(&text("127.0.0.1"));
        body.extend_from_slice(&u32::from(*port).to_be_bytes());
        body.extend_from_slice(&[0xff, 0xff]);
    }
    body.extend_from_slice(&text("cluster"));
    body.extend_from_slice(&number(1));
    body.extend_from_slice(&number(topics.len()));
    for topic in topics {
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&text(topic));
        body.push(0);
        // One partition, number 0, without an error.
        body.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for one in 0..3 {
            if one > 0 {
                body.extend_from_slice(&number(1));
            }
            body.extend_from_slice(&number(1));
        }
    }
    body
}

/// Reads a request.
///
/// # Errors
/// When the client hangs up, or sends more than any of ours does.
pub fn read_request(stream: &mut TcpStream) -> io::Result<Request> {
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let number = |from: usize, to: usize| {
        head.iter()
            .take(to)
            .skip(from)
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
    };
    let length = usize::try_from(number(0, 4)).unwrap_or(usize::MAX);
    let rest = length
        .checked_sub(8)
        .filter(|rest| *rest <= REQUEST_BYTES_MAX);
    let rest = rest.ok_or_else(|| io::Error::other("the client's request has no sane length"))?;
    stream.read_exact(&mut vec![0; rest])?;
    Ok(Request {
        key: u16::try_from(number(4, 6)).unwrap_or_default(),
        correlation_id: number(8, 12),
    })
}
