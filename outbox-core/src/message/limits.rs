use std::ops::RangeInclusive;

use super::{MessageError, MessageField};

/// The longest destination, in bytes: a Kafka topic's longest name.
pub const DESTINATION_BYTES_MAX: usize = 249;
/// The longest type, in bytes: an AMQP property's longest text.
pub const TYPE_BYTES_MAX: usize = 255;
/// The longest content type, in bytes: an AMQP property's longest text.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// The longest name of a header, in bytes: an AMQP field's longest name.
pub const HEADER_NAME_BYTES_MAX: usize = 255;

/// How much of an invalid text an error shows, in characters.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// Refuses a text of another length or with control characters: it ends in broker names,
/// properties and logs.
pub(super) fn check(
    field: MessageField,
    text: &str,
    length: RangeInclusive<usize>,
) -> Result<(), MessageError> {
    if length.contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let rule = format!(
        "{} to {} bytes without control characters",
        length.start(),
        length.end()
    );
    Err(invalid(field, text, rule))
}

/// Refuses NUL, which PostgreSQL stores in no text.
pub(super) fn check_nul(field: MessageField, text: &str) -> Result<(), MessageError> {
    if text.contains('\0') {
        return Err(invalid(field, text, "no NUL character".to_owned()));
    }
    Ok(())
}

fn invalid(field: MessageField, text: &str, rule: String) -> MessageError {
    MessageError::Text {
        field,
        text: text.chars().take(SHOWN_CHARACTERS_MAX).collect(),
        rule,
    }
}
