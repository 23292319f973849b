use bytes::BufMut;
use proptest::prelude::*;

use super::*;

fn frame(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![tag];
    frame.put_u32(u32::try_from(content.len() + 4).unwrap());
    frame.put_slice(content);
    frame
}

fn change(body: &[u8]) -> Vec<u8> {
    frame(b'd', &[b"w", [7; 24].as_slice(), body].concat())
}

fn row(bytes: usize) -> Vec<u8> {
    change(&[b"I", vec![b'r'; bytes].as_slice()].concat())
}

fn message(flags: u8, prefix: &str, content_bytes: usize) -> Vec<u8> {
    let mut body = vec![b'M', flags];
    body.put_u64(9);
    body.put_slice(prefix.as_bytes());
    body.put_u8(0);
    body.put_u32(u32::try_from(content_bytes).unwrap());
    body.put_bytes(b'c', content_bytes);
    change(&body)
}

fn keepalive() -> Vec<u8> {
    frame(b'd', &[b"k", [1; 17].as_slice()].concat())
}

/// Lets `arriving` arrive in parts of these sizes, over and over, and returns the messages that are left.
fn cut(arriving: &[u8], parts: &[usize]) -> Result<Vec<Vec<u8>>, SourceError> {
    let mut framing = Framing::default();
    let mut input = BytesMut::new();
    let mut rest = arriving;
    let mut messages = Vec::new();
    for part in parts.iter().cycle() {
        let (arrived, later) = rest.split_at(rest.len().min(*part));
        rest = later;
        input.extend_from_slice(arrived);
        while let Some(block) = framing.take(&mut input)? {
            let mut block = block.as_ref();
            while let Some((message, after)) = split_first(block) {
                messages.push(message.to_vec());
                block = after;
            }
            assert!(block.is_empty());
        }
        if rest.is_empty() {
            break;
        }
    }
    Ok(messages)
}

#[test]
fn messages_of_others_are_passed_over_wherever_they_are_cut() {
    let request = message(1, "outbox.request.policy", 40);
    let kept = [row(300), request, keepalive(), row(0), frame(b'N', b"x\0")];
    let foreign = [
        message(1, "debezium", 5_000),
        message(0, "outbox.request.policy", 10),
        message(1, "", 0),
        message(1, "outbox.reques", 3),
        message(1, "outbox.request.policy", REQUEST_BYTES_MAX),
    ];
    let mut arriving = Vec::new();
    for (kept, foreign) in kept.iter().zip(&foreign) {
        arriving.extend_from_slice(kept);
        arriving.extend_from_slice(foreign);
        arriving.extend_from_slice(foreign);
    }
    for part in [1, 2, 7, 41, 1000, arriving.len()] {
        assert_eq!(cut(&arriving, &[part]).unwrap(), kept, "{part}");
    }
}

#[test]
fn a_message_of_others_may_be_larger_than_any_that_is_accepted() {
    let mut framing = Framing::default();
    let begun = message(1, "somebody", 10);
    let mut input = BytesMut::from(&begun[..]);
    // All but the announced length is as above.
    input[1..5].copy_from_slice(&0xffff_ffff_u32.to_be_bytes());
    assert!(framing.take(&mut input).unwrap().is_none());
    assert!(input.is_empty());
    assert_eq!(framing.passing_bytes, (1 << 32) - begun.len());

    let mut row = row(10);
    row[1..5].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    let error = cut(&row, &[1000]).unwrap_err().to_string();
    assert!(error.contains("2147483647 bytes"), "{error}");
    let error = cut(&[b'd', 0, 0, 0, 3], &[5]).unwrap_err().to_string();
    assert!(error.contains("a message of 3 bytes"), "{error}");
}

#[test]
fn what_is_kept_holds_its_own_bytes_only_and_large_rows_are_not_copied() {
    let mut framing = Framing::default();
    let mut input = BytesMut::with_capacity(8 * SHARED_BYTES_MIN);
    input.extend_from_slice(&row(100));
    input.extend_from_slice(&message(1, "somebody", 240_000));
    let buffer = input.as_ptr();
    let small = framing.take(&mut input).unwrap().unwrap();
    assert_eq!(small.as_ref(), row(100));
    assert!(framing.take(&mut input).unwrap().is_none());
    assert!(input.is_empty());
    assert_ne!(small.as_ptr(), buffer);

    input.extend_from_slice(&row(SHARED_BYTES_MIN));
    let buffer = input.as_ptr();
    let large = framing.take(&mut input).unwrap().unwrap();
    assert_eq!(large.as_ptr(), buffer);
}

proptest! {
    #[test]
    fn how_messages_are_cut_into_reads_changes_nothing(
        kinds in prop::collection::vec((0..5_u8, 0..600_usize), 0..20),
        parts in prop::collection::vec(1..900_usize, 1..8),
    ) {
        let messages: Vec<_> = kinds
            .iter()
            .map(|(kind, bytes)| match kind {
                0 => row(*bytes),
                1 => message(1, "outbox.request.r", *bytes),
                2 => keepalive(),
                3 => message(0, "x", *bytes),
                _ => message(1, "outbox.request", *bytes),
            })
            .collect();
        let kept = messages.iter().zip(&kinds).filter(|(_, (kind, _))| *kind < 3);
        let kept: Vec<_> = kept.map(|(message, _)| message.clone()).collect();
        prop_assert_eq!(cut(&messages.concat(), &parts).unwrap(), kept);
    }
}
