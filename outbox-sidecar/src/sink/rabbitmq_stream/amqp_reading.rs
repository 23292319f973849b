//! Reading AMQP 1.0 back: the parts of a message that we write, whoever wrote it.

/// The sections of a message that are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sections<'a> {
    pub(super) message_id: Option<&'a str>,
    pub(super) subject: Option<&'a str>,
    pub(super) content_type: Option<&'a str>,
    pub(super) creation_ms: Option<i64>,
    /// Names and values; of values that are no text, their encoding.
    pub(super) application: Vec<(&'a str, &'a [u8])>,
    /// The body, where it is one piece of data: we write no other.
    pub(super) data: Option<&'a [u8]>,
}

/// Descriptors of sections.
const PROPERTIES: u64 = 0x73;
const APPLICATION_PROPERTIES: u64 = 0x74;
const DATA: u64 = 0x75;

/// How deep values may lie in each other: those that we skip come from anybody.
const DEPTH_MAX: usize = 16;

/// A value, as far as it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    Null,
    Text(&'a str),
    Bytes(&'a [u8]),
    Number(u64),
    Timestamp(i64),
    /// A list or a map: how many members, and where they stand.
    Members(u32, &'a [u8]),
    /// Anything else, as it is encoded.
    Other(&'a [u8]),
}

/// Reads a message; `None` when it is none.
pub(super) fn read(message: &[u8]) -> Option<Sections<'_>> {
    let mut from = message;
    let mut sections = Sections::default();
    let mut pieces = 0_usize;
    while !from.is_empty() {
        let descriptor = descriptor(&mut from)?;
        let value = value(&mut from, 0)?;
        match (descriptor, value) {
            (PROPERTIES, Value::Members(count, members)) => {
                properties(count, members, &mut sections)?;
            }
            (APPLICATION_PROPERTIES, Value::Members(count, members)) => {
                sections.application = application(count, members)?;
            }
            (DATA, Value::Bytes(data)) => {
                pieces += 1;
                sections.data = (pieces == 1).then_some(data);
            }
            _ => {}
        }
    }
    Some(sections)
}

fn properties<'a>(count: u32, mut members: &'a [u8], into: &mut Sections<'a>) -> Option<()> {
    for place in 0..count {
        let value = value(&mut members, 0)?;
        match (place, value) {
            (0, Value::Text(id)) => into.message_id = Some(id),
            (3, Value::Text(subject)) => into.subject = Some(subject),
            (6, Value::Text(content_type)) => into.content_type = Some(content_type),
            (9, Value::Timestamp(ms)) => into.creation_ms = Some(ms),
            _ => {}
        }
    }
    Some(())
}

fn application(count: u32, mut members: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    // Not allocated by what the message says of itself.
    let mut pairs = Vec::new();
    for _ in 0..count / 2 {
        let Value::Text(name) = value(&mut members, 0)? else {
            return None;
        };
        let encoded = members;
        let value = match value(&mut members, 0)? {
            Value::Text(text) => text.as_bytes(),
            Value::Bytes(bytes) => bytes,
            _ => encoded.get(..encoded.len() - members.len())?,
        };
        pairs.push((name, value));
    }
    Some(pairs)
}

/// What a described value says it is; 0 for one that is named.
fn descriptor(from: &mut &[u8]) -> Option<u64> {
    let [0] = take::<1>(from)? else {
        return None;
    };
    match value(from, 0)? {
        Value::Number(number) => Some(number),
        Value::Text(_) => Some(0),
        _ => None,
    }
}

/// <https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html#toc>: the first half
/// of a value's code says how long it is.
fn value<'a>(from: &mut &'a [u8], depth: usize) -> Option<Value<'a>> {
    if depth > DEPTH_MAX {
        return None;
    }
    let whole = *from;
    let [code] = take::<1>(from)?;
    if code == 0 {
        // Described: the description, then the value.
        value(from, depth + 1)?;
        value(from, depth + 1)?;
        return Some(Value::Other(whole.get(..whole.len() - from.len())?));
    }
    let fixed = match code >> 4 {
        0x4 => Some(0),
        0x5 => Some(1),
        0x6 => Some(2),
        0x7 => Some(4),
        0x8 => Some(8),
        0x9 => Some(16),
        _ => None,
    };
    if let Some(bytes) = fixed {
        let bytes = take_slice(from, bytes)?;
        let number = || {
            bytes
                .iter()
                .fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte))
        };
        return Some(match code {
            0x40 => Value::Null,
            0x44 | 0x53 | 0x80 => Value::Number(number()),
            0x83 => Value::Timestamp(number().cast_signed()),
            _ => Value::Other(bytes),
        });
    }
    let has_long_size = code & 0x10 != 0;
    let length = if has_long_size {
        u32::from_be_bytes(take(from)?)
    } else {
        u32::from(u8::from_be_bytes(take(from)?))
    };
    let bytes = take_slice(from, usize::try_from(length).ok()?)?;
    Some(match code {
        0xa1 | 0xb1 | 0xa3 | 0xb3 => Value::Text(std::str::from_utf8(bytes).ok()?),
        0xa0 | 0xb0 => Value::Bytes(bytes),
        0xc0 | 0xc1 => {
            let (count, members) = bytes.split_first()?;
            Value::Members(u32::from(*count), members)
        }
        0xd0 | 0xd1 => {
            let (count, members) = bytes.split_first_chunk::<4>()?;
            Value::Members(u32::from_be_bytes(*count), members)
        }
        0xe0 | 0xf0 => Value::Other(bytes),
        _ => return None,
    })
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

fn take_slice<'a>(from: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(bytes)?;
    *from = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use testbed::mutation;

    use super::super::amqp::{self, Section};
    use super::*;
    use crate::sink::rabbitmq_stream::hostile;

    #[test]
    fn what_we_write_is_read() {
        let long = "x".repeat(300);
        let mut out = Vec::new();
        amqp::section(&mut out, Section::MessageAnnotations);
        let map = amqp::begin_map(&mut out);
        amqp::symbol(&mut out, "x-basic-type");
        amqp::text(&mut out, "T");
        amqp::end(&mut out, &map, 2);
        amqp::section(&mut out, Section::Properties);
        let list = amqp::begin_list(&mut out);
        amqp::text(&mut out, "id");
        amqp::null(&mut out);
        amqp::null(&mut out);
        amqp::text(&mut out, "subject");
        amqp::null(&mut out);
        amqp::null(&mut out);
        amqp::symbol(&mut out, "text/plain");
        amqp::null(&mut out);
        amqp::null(&mut out);
        amqp::timestamp(&mut out, -5);
        amqp::end(&mut out, &list, 10);
        amqp::section(&mut out, Section::ApplicationProperties);
        let map = amqp::begin_map(&mut out);
        amqp::text(&mut out, "long");
        amqp::text(&mut out, &long);
        amqp::text(&mut out, "none");
        amqp::null(&mut out);
        amqp::end(&mut out, &map, 4);
        amqp::section(&mut out, Section::Data);
        amqp::binary(&mut out, b"payload");
        let sections = read(&out).unwrap();
        let expected = Sections {
            message_id: Some("id"),
            subject: Some("subject"),
            content_type: Some("text/plain"),
            creation_ms: Some(-5),
            application: vec![("long", long.as_bytes()), ("none", &[0x40])],
            data: Some(b"payload"),
        };
        assert_eq!(sections, expected);
        // A second piece of data: none of ours.
        amqp::section(&mut out, Section::Data);
        amqp::binary(&mut out, b"more");
        assert_eq!(read(&out).unwrap().data, None);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let nested = [[0, 0x53, 0x73].as_slice(), &[0; 100]].concat();
        for bytes in [
            &b"\x01"[..],
            b"\x00",
            b"\x00\x53\x73",
            b"\x00\x53\x75\xa0\x02a",
            &nested,
        ] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
        assert_eq!(read(b""), Some(Sections::default()));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..96), section in 0x70..0x79_u8) {
            let _ = read(&bytes);
            let _ = read(&[&[0, 0x53, section], bytes.as_slice()].concat());
            let members = u8::try_from(bytes.len()).unwrap();
            let list = [&[0, 0x53, section, 0xc0, members, members], bytes.as_slice()].concat();
            let _ = read(&list);
        }
    }

    #[test]
    fn messages_with_seeded_mutations_are_read_or_refused() {
        let corpus = [
            &b"\0\x53\x73\xc0\x0a\x04\xa1\x02id\x40\x40\xa1\x01T\0\x53\x75\xa0\x03abc"[..],
            b"\0\x53\x74\xc1\x0c\x04\xa1\x01a\xa1\x01b\xa1\x01c\xa0\x01d\0\x53\x75\xb0\0\0\0\x01a",
            b"\0\x53\x74\xd1\0\0\0\x0a\0\0\0\x02\xa1\x01a\x83\0\0\0\0\0\0\0\x01",
            b"\0\x53\x70\xc0\x04\x02\x41\x50\x04\0\x80\0\0\0\0\0\0\0\x75\xa0\0",
            b"\0\xa3\x04amqp\xe0\x07\x02\xa1\x01a\x01b\xf0\0\0\0\x06\0\0\0\x01\x50a",
        ];
        mutation::replay("rabbitmq_stream_messages", &corpus, hostile::message);
    }
}
