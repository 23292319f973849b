//! What a broker of AMQP 0-9-1 says.
//! <https://www.rabbitmq.com/amqp-0-9-1-reference>

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// The octet at the end of a frame.
const END: u8 = 0xCE;
/// The longest frame of a client that is read.
const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// A frame of this type on this channel.
#[must_use]
pub fn frame(kind: u8, channel: u16, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [
        &[kind][..],
        &channel.to_be_bytes(),
        &length.to_be_bytes(),
        content,
        &[END],
    ]
    .concat()
}

/// A method on this channel.
#[must_use]
pub fn method(channel: u16, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let content = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
    frame(1, channel, &content)
}

/// Text or table with its length in four bytes.
#[must_use]
pub fn long(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), content].concat()
}

/// What a broker says first, with this table of its properties.
#[must_use]
pub fn start(properties: &[u8]) -> Vec<u8> {
    let arguments = [
        &[0, 9][..],
        &long(properties),
        &long(b"PLAIN AMQPLAIN"),
        &long(b"en_US"),
    ];
    method(0, 10, 10, &arguments.concat())
}

/// How it wants the connection.
#[must_use]
pub fn tune(channel_max: u16, frame_max: u32, heartbeat: u16) -> Vec<u8> {
    let arguments = [
        &channel_max.to_be_bytes()[..],
        &frame_max.to_be_bytes(),
        &heartbeat.to_be_bytes(),
    ];
    method(0, 10, 30, &arguments.concat())
}

/// It asks for more proof.
#[must_use]
pub fn secure() -> Vec<u8> {
    method(0, 10, 20, &long(b"and now?"))
}

/// A table in a table in a table, and so on; each has one entry.
#[must_use]
pub fn nested_tables(depth: usize) -> Vec<u8> {
    let mut table = Vec::new();
    for _ in 0..depth {
        let content = long(&table);
        table = [&[1, b'k', b'F'][..], &content].concat();
    }
    table
}

/// Lets a client in, up to the answer that opens the connection; it sends frames of this size.
///
/// # Errors
/// When the client hangs up.
pub fn welcome(stream: &mut TcpStream, frame_max: u32) -> io::Result<()> {
    read_header(stream)?;
    stream.write_all(&start(&[]))?;
    read_frame(stream)?;
    stream.write_all(&tune(2047, frame_max, 60))?;
    read_frame(stream)?;
    read_frame(stream)?;
    stream.write_all(&method(0, 10, 41, &[0]))
}

/// Reads `AMQP` and the version.
///
/// # Errors
/// When the client hangs up.
pub fn read_header(stream: &mut TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 8])
}

/// Reads a frame of the client's, and returns its class and method.
///
/// # Errors
/// When the client hangs up, or sends more than any of ours does.
pub fn read_frame(stream: &mut TcpStream) -> io::Result<(u16, u16)> {
    let mut head = [0; 7];
    stream.read_exact(&mut head)?;
    let length = head.iter().skip(3);
    let length = length.fold(0, |length, byte| length << 8 | usize::from(*byte));
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other("the client's frame is too long"));
    }
    let mut content = vec![0; length + 1];
    stream.read_exact(&mut content)?;
    let number = |at: usize| match content.get(at..at + 2) {
        Some([high, low]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    Ok((number(0), number(2)))
}
