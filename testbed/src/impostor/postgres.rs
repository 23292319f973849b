//! What a PostgreSQL server says.
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// The longest message of a client that is read.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// The code of a request for TLS, in place of a version.
const TLS_REQUEST: u32 = 80_877_103;

/// A message with this tag.
#[must_use]
pub fn message(tag: u8, content: &[u8]) -> Vec<u8> {
    announced(
        tag,
        u32::try_from(content.len() + 4).unwrap_or(u32::MAX),
        content,
    )
}

/// One that says that it is so long, whatever it holds.
#[must_use]
pub fn announced(tag: u8, length: u32, content: &[u8]) -> Vec<u8> {
    [&[tag][..], &length.to_be_bytes(), content].concat()
}

/// A request for a proof of who the client is, or that it is let in (kind 0).
#[must_use]
pub fn authentication(kind: u32, content: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes(), content].concat())
}

/// The request for SCRAM.
#[must_use]
pub fn scram() -> Vec<u8> {
    authentication(10, b"SCRAM-SHA-256\0\0")
}

/// The parameter has this value.
#[must_use]
pub fn parameter(name: &str, value: &str) -> Vec<u8> {
    message(b'S', format!("{name}\0{value}\0").as_bytes())
}

/// It is ready for a query.
#[must_use]
pub fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// The client is let in, and served by a process.
#[must_use]
pub fn let_in() -> Vec<u8> {
    let key = message(b'K', &[0, 0, 0, 7, 0, 0, 0, 9]);
    [
        authentication(0, &[]),
        parameter("server_version", "15.0"),
        key,
        ready(),
    ]
    .concat()
}

/// What it was asked is done.
#[must_use]
pub fn complete(command: &str) -> Vec<u8> {
    [message(b'C', format!("{command}\0").as_bytes()), ready()].concat()
}

/// A row of text.
#[must_use]
pub fn row(columns: &[&str]) -> Vec<u8> {
    let mut content = u16::try_from(columns.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes()
        .to_vec();
    for column in columns {
        let length = u32::try_from(column.len()).unwrap_or(u32::MAX);
        content.extend_from_slice(&length.to_be_bytes());
        content.extend_from_slice(column.as_bytes());
    }
    message(b'D', &content)
}

/// Reads how a client introduces itself, refusing TLS before where it asks for that. Whether it
/// wants to replicate.
///
/// # Errors
/// When the client hangs up.
pub fn read_startup(stream: &mut TcpStream) -> io::Result<bool> {
    loop {
        let content = read_content(stream)?;
        let code = content.iter().take(4);
        let code = code.fold(0_u32, |code, byte| code << 8 | u32::from(*byte));
        if code != TLS_REQUEST {
            let wanted = b"\0replication\0database\0";
            return Ok(content.windows(wanted.len()).any(|part| part == wanted));
        }
        stream.write_all(b"N")?;
    }
}

/// Reads a message of the client's: its tag and content.
///
/// # Errors
/// When the client hangs up.
pub fn read_message(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut tag = [0];
    stream.read_exact(&mut tag)?;
    Ok((tag[0], read_content(stream)?))
}

fn read_content(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = length
        .iter()
        .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(io::Error::other("the client's message has no sane length"));
    }
    let mut content = vec![0; length - 4];
    stream.read_exact(&mut content)?;
    Ok(content)
}

/// Answers the first message of a client's SCRAM, with so many iterations. The password is not
/// known: what follows is not proven.
///
/// # Errors
/// When the client hangs up, or does not speak SCRAM.
pub fn continue_scram(stream: &mut TcpStream, iterations: &str) -> io::Result<()> {
    let (_, content) = read_message(stream)?;
    let text = String::from_utf8_lossy(&content).into_owned();
    let (_, nonce) = text
        .split_once("r=")
        .ok_or_else(|| io::Error::other("the client sent no nonce"))?;
    let first = format!("r={nonce}more,s=c2FsdHNhbHRzYWx0,i={iterations}");
    stream.write_all(&authentication(11, first.as_bytes()))
}
