use super::InboxError;

/// The longest name of a consumer, in bytes of UTF-8.
pub const CONSUMER_BYTES_MAX: usize = 255;

/// What the table's constraint and PostgreSQL's text would refuse, before the transaction is spoilt.
pub(super) fn validate(consumer: &str) -> Result<(), InboxError> {
    let valid =
        (1..=CONSUMER_BYTES_MAX).contains(&consumer.len()) && !consumer.as_bytes().contains(&0);
    if valid {
        Ok(())
    } else {
        Err(InboxError::Consumer {
            name: consumer.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_neither_empty_nor_long_nor_hold_nul() {
        for name in ["a", "settlement", "Abrechnung für Ä", &"x".repeat(255)] {
            assert!(validate(name).is_ok(), "{name:?}");
        }
        for name in ["", "a\0b", &"x".repeat(256), &"ä".repeat(128)] {
            assert!(validate(name).is_err(), "{name:?}");
        }
    }
}
