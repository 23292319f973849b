//! AMQP 1.0's encoding, as far as a message in a stream needs it.
//!
//! <https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html#toc>

/// The sections of a message.
#[derive(Clone, Copy)]
pub(super) enum Section {
    MessageAnnotations = 0x72,
    Properties = 0x73,
    ApplicationProperties = 0x74,
    Data = 0x75,
}

/// Begins a section; its one value follows.
pub(super) fn section(out: &mut Vec<u8>, section: Section) {
    // A described value, its descriptor a small unsigned long.
    out.extend_from_slice(&[0x00, 0x53, section as u8]);
}

/// A field that is not there.
pub(super) fn null(out: &mut Vec<u8>) {
    out.push(0x40);
}

/// A text.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    variable(out, 0xa1, text.as_bytes());
}

/// A text of the protocol's own.
pub(super) fn symbol(out: &mut Vec<u8>, text: &str) {
    variable(out, 0xa3, text.as_bytes());
}

/// Bytes.
pub(super) fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    variable(out, 0xa0, bytes);
}

/// Milliseconds since 1970.
pub(super) fn timestamp(out: &mut Vec<u8>, ms: i64) {
    out.push(0x83);
    out.extend_from_slice(&ms.to_be_bytes());
}

/// A list or a map whose members are written between `begin_list` or `begin_map` and `end`.
pub(super) struct Compound {
    size_at: usize,
}

pub(super) fn begin_list(out: &mut Vec<u8>) -> Compound {
    begin(out, 0xd0)
}

pub(super) fn begin_map(out: &mut Vec<u8>) -> Compound {
    begin(out, 0xd1)
}

/// Fills in what was not known at its beginning. A key and its value count as two members.
pub(super) fn end(out: &mut [u8], compound: &Compound, members: u32) {
    let size = out.len().saturating_sub(compound.size_at + 4);
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(compound.size_at..compound.size_at + 8) {
        let both = u64::from(size) << 32 | u64::from(members);
        place.copy_from_slice(&both.to_be_bytes());
    }
}

fn begin(out: &mut Vec<u8>, code: u8) -> Compound {
    out.push(code);
    let size_at = out.len();
    out.extend_from_slice(&[0; 8]);
    Compound { size_at }
}

/// The code of the form with a length of four bytes lies 16 above that with one.
fn variable(out: &mut Vec<u8>, code: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) => out.extend_from_slice(&[code, length]),
        Err(_) => {
            out.push(code + 0x10);
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}
