//! How deep a broker's tables are. lapin's parser calls itself for each table in a table: 128 KiB of
//! them overflow the stack of its thread, and the process ends.
//! <https://www.rabbitmq.com/amqp-0-9-1-errata#section_3>

/// RabbitMQ's own nest twice.
const DEPTH_MAX: usize = 16;

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TableError {
    #[error("is none")]
    Malformed,
    #[error("holds tables more than {DEPTH_MAX} deep")]
    Deep,
}

type Rest<'a> = Result<&'a [u8], TableError>;

/// The table in the arguments of `connection.start`: version, table, and texts.
pub(super) fn of_start(arguments: &[u8]) -> Result<(), TableError> {
    table(skip(arguments, 2)?, 0).map(drop)
}

/// The table in a content header: class, weight, size, flags, then the properties that the flags name,
/// of which the third is the table.
pub(super) fn of_header(content: &[u8]) -> Result<(), TableError> {
    let properties = skip(content, 12)?;
    let [high, _, rest @ ..] = properties else {
        return Err(TableError::Malformed);
    };
    let mut rest = rest;
    for text in [0x80, 0x40] {
        if high & text != 0 {
            let (length, after) = rest.split_first().ok_or(TableError::Malformed)?;
            rest = skip(after, usize::from(*length))?;
        }
    }
    if high & 0x20 != 0 {
        table(rest, 0)?;
    }
    Ok(())
}

fn skip(bytes: &[u8], count: usize) -> Rest<'_> {
    bytes.get(count..).ok_or(TableError::Malformed)
}

/// The content behind a length of four bytes, and what follows.
fn long(bytes: &[u8]) -> Result<(&[u8], &[u8]), TableError> {
    let (length, rest) = bytes.split_first_chunk().ok_or(TableError::Malformed)?;
    let length = u32::from_be_bytes(*length) as usize;
    rest.split_at_checked(length).ok_or(TableError::Malformed)
}

/// Looks through a table, and returns what follows it.
fn table(bytes: &[u8], depth: usize) -> Rest<'_> {
    let (mut entries, after) = long(bytes)?;
    while let Some((length, rest)) = entries.split_first() {
        entries = value(skip(rest, usize::from(*length))?, depth)?;
    }
    Ok(after)
}

/// The same for a list.
fn array(bytes: &[u8], depth: usize) -> Rest<'_> {
    let (mut values, after) = long(bytes)?;
    while !values.is_empty() {
        values = value(values, depth)?;
    }
    Ok(after)
}

fn value(bytes: &[u8], depth: usize) -> Rest<'_> {
    let (kind, rest) = bytes.split_first().ok_or(TableError::Malformed)?;
    match kind {
        b'V' => Ok(rest),
        b't' | b'b' | b'B' => skip(rest, 1),
        b's' | b'U' | b'u' => skip(rest, 2),
        b'I' | b'i' | b'f' => skip(rest, 4),
        b'D' => skip(rest, 5),
        b'L' | b'l' | b'd' | b'T' => skip(rest, 8),
        b'S' | b'x' => long(rest).map(|(_, after)| after),
        b'F' | b'A' if depth >= DEPTH_MAX => Err(TableError::Deep),
        b'F' => table(rest, depth + 1),
        b'A' => array(rest, depth + 1),
        _ => Err(TableError::Malformed),
    }
}
