use std::io;

use super::tables;

/// The longest frame of a connection, RabbitMQ's own default: lapin takes 32 times as much for each
/// direction, and a broker could name any size.
pub(in crate::sink::rabbitmq) const FRAME_BYTES_MAX: u32 = 131_072;
/// The shortest that AMQP allows.
pub(in crate::sink::rabbitmq) const FRAME_BYTES_MIN: u32 = 4096;

/// What a broker may say without having heard anything. Its greeting is below a kilobyte, a heartbeat has
/// eight bytes, a word that it takes no messages fifty.
const UNASKED_BYTES_MAX: u64 = 1024 * 1024;
/// For each byte that it has heard it may say so many. What says most is a message that comes back.
const BYTES_PER_SENT: u64 = 2;

/// Type, channel and length before a frame's content, and the octet behind it.
const HEAD_BYTES: usize = 7;
const END: u8 = 0xCE;

/// What begins the answer of a server that speaks another version.
const OTHER_VERSION: u8 = b'A';
const OTHER_VERSION_BYTES: usize = 8;

/// Looks at the frames of a broker before lapin does.
#[derive(Debug)]
pub(super) struct Screen {
    /// What the broker may still say.
    allowed: u64,
    allowed_max: u64,
}

impl Screen {
    /// One for a connection on which so much can be on its way at once.
    pub(super) fn new(in_flight_bytes_max: u64) -> Self {
        let in_flight = in_flight_bytes_max.saturating_mul(BYTES_PER_SENT);
        Self {
            allowed: UNASKED_BYTES_MAX,
            allowed_max: UNASKED_BYTES_MAX.saturating_add(in_flight),
        }
    }

    /// The broker will hear so much.
    pub(super) fn sent(&mut self, bytes: usize) {
        let more = (bytes as u64).saturating_mul(BYTES_PER_SENT);
        self.allowed = self.allowed.saturating_add(more).min(self.allowed_max);
    }

    /// The broker has said so much.
    pub(super) fn received(&mut self, bytes: usize) -> io::Result<()> {
        let left = self.allowed.checked_sub(bytes as u64);
        self.allowed = left.ok_or_else(|| {
            refused("the broker says more than the relay's words account for, without end".into())
        })?;
        Ok(())
    }

    /// How many of these bytes are whole frames that a broker may send.
    pub(super) fn pass(&self, arrived: &[u8]) -> io::Result<usize> {
        let mut passed = 0;
        while let Some(bytes) = next(arrived.get(passed..).unwrap_or_default())? {
            passed += bytes;
        }
        Ok(passed)
    }
}

/// The length of the next frame, if it is there as a whole.
fn next(arrived: &[u8]) -> io::Result<Option<usize>> {
    if arrived.first() == Some(&OTHER_VERSION) {
        return Ok((arrived.len() >= OTHER_VERSION_BYTES).then_some(OTHER_VERSION_BYTES));
    }
    let [kind, _, _, a, b, c, d, rest @ ..] = arrived else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([*a, *b, *c, *d]);
    if length > FRAME_BYTES_MAX || !matches!(kind, 1 | 2 | 3 | 8) {
        return Err(refused(format!(
            "the broker announces a frame of type {kind} and of {length} bytes; types are 1, 2, 3 and \
             8, and {FRAME_BYTES_MAX} bytes are the most"
        )));
    }
    let length = length as usize;
    let Some((content, [end, ..])) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    if *end != END {
        return Err(refused("a frame of the broker's has no end".into()));
    }
    match kind {
        1 => method(content)?,
        2 => tables::of_header(content).map_err(refused_table)?,
        _ => {}
    }
    Ok(Some(HEAD_BYTES + length + 1))
}

/// Whether a broker sends such a method; only its greeting holds a table.
fn method(content: &[u8]) -> io::Result<()> {
    let [a, b, c, d, arguments @ ..] = content else {
        return Err(refused("a method of the broker's has no name".into()));
    };
    let (class, method) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
    match (class, method) {
        // Connection: start, and the rest.
        (10, 10) => tables::of_start(arguments).map_err(refused_table),
        (10, 20 | 30 | 41 | 50 | 51 | 60 | 61 | 70 | 71)
        // Channel, exchange, queue, basic, transactions, confirms.
        | (20, 11 | 20 | 21 | 40 | 41)
        | (40, 11 | 21 | 31 | 51)
        | (50, 11 | 21 | 31 | 41 | 51)
        | (60, 11 | 21 | 30 | 31 | 50 | 60 | 71 | 72 | 80 | 111 | 120)
        | (90, 11 | 21 | 31)
        | (85, 11) => Ok(()),
        _ => Err(refused(format!(
            "the broker sends method {class}.{method}, which no broker sends"
        ))),
    }
}

fn refused_table(what: tables::TableError) -> io::Error {
    refused(format!("a table of the broker's {what}"))
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use testbed::impostor::amqp::{frame, method, nested_tables, start, tune};

    use super::*;

    fn pass(arrived: &[u8]) -> Result<usize, String> {
        let passed = Screen::new(0).pass(arrived);
        passed.map_err(|error| error.to_string())
    }

    #[test]
    fn whole_frames_pass_and_parts_wait() {
        let frames = [start(&nested_tables(3)), tune(0, 4096, 1), frame(8, 0, &[])].concat();
        for bytes in 0..frames.len() {
            assert!(pass(&frames[..bytes]).unwrap() < frames.len(), "{bytes}");
        }
        assert_eq!(pass(&frames).unwrap(), frames.len());
        assert_eq!(pass(b"AMQP\0\0\x09\x01").unwrap(), 8);
    }

    #[test]
    fn what_no_broker_sends_is_named() {
        let with_headers = |depth| {
            let headers = testbed::impostor::amqp::long(&nested_tables(depth));
            frame(
                2,
                1,
                &[
                    &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0],
                    &headers[..],
                ]
                .concat(),
            )
        };
        assert!(pass(&with_headers(5)).is_ok());
        for (frame, words) in [
            (start(&nested_tables(15_000)), "more than 16 deep"),
            (with_headers(9000), "more than 16 deep"),
            (start(&[1, b'k', b'F', 0, 0, 0, 9]), "is none"),
            (start(&[1, b'k', b'?']), "is none"),
            (vec![1, 0, 0, 255, 255, 255, 255], "4294967295 bytes"),
            (b"HTTP/1.1 400".to_vec(), "type 72"),
            (vec![8, 0, 0, 0, 0, 0, 0, 0], "no end"),
            (method(1, 50, 10, &[]), "method 50.10"),
            (frame(1, 0, &[1]), "no name"),
        ] {
            let said = pass(&frame).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_broker_may_say_so_much_and_for_what_it_hears_more() {
        let mut screen = Screen::new(1000);
        assert!(screen.received(1024 * 1024).is_ok());
        assert!(screen.received(1).is_err());
        screen.sent(100);
        assert!(screen.received(200).is_ok());
        assert!(screen.received(1).is_err());
        screen.sent(10_000_000);
        assert!(screen.received(1024 * 1024 + 2000).is_ok());
        assert!(screen.received(1).is_err());
    }
}
