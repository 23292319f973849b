use super::wire::{ANSWER_BYTES_MAX, FRAME_BYTES_MAX};
use crate::source::SourceError;

/// The most that the rows of one answer may take, as the driver holds them. A batch and a message larger
/// than a batch are less; so are the places of two million keys that wait.
const ROWS_BYTES_MAX: usize = 512 * 1024 * 1024;
/// What the driver takes for a row beside its bytes.
const ROW_OVERHEAD_BYTES: usize = 128;

/// Messages by their tags.
const DATA_ROW: u8 = b'D';
const COPY_DATA: u8 = b'd';
const PARAMETER_STATUS: u8 = b'S';
const READY_FOR_QUERY: u8 = b'Z';
/// A tag and a length.
const HEAD_BYTES: usize = 5;

/// What a server may still send on a connection for SQL. The driver keeps what it is sent, the parameters
/// for as long as the connection lives, and takes messages of any size.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Of the message that arrives, still to come.
    to_come: usize,
    /// What the answer that arrives takes: its rows, and everything else but what is copied.
    rows: usize,
    others: usize,
    /// What parameters have taken, answers or not.
    parameters: usize,
}

impl Allowance {
    /// Takes note of what has arrived.
    pub(super) fn take(&mut self, mut arrived: &[u8]) -> Result<(), SourceError> {
        while !arrived.is_empty() {
            let content = self.to_come.min(arrived.len());
            self.to_come -= content;
            arrived = arrived.get(content..).unwrap_or_default();
            while self.head_bytes < HEAD_BYTES && self.to_come == 0 {
                let Some((byte, rest)) = arrived.split_first() else {
                    return Ok(());
                };
                if let Some(place) = self.head.get_mut(self.head_bytes) {
                    *place = *byte;
                }
                self.head_bytes += 1;
                arrived = rest;
            }
            if self.head_bytes == HEAD_BYTES {
                self.head_bytes = 0;
                self.message()?;
            }
        }
        Ok(())
    }

    /// Whether a message may come that begins so.
    fn message(&mut self) -> Result<(), SourceError> {
        let [tag, length @ ..] = self.head;
        let announced = u32::from_be_bytes(length) as usize;
        let bytes = announced + 1;
        let (taken, most) = match tag {
            COPY_DATA => (bytes, FRAME_BYTES_MAX),
            DATA_ROW => {
                self.rows += bytes + ROW_OVERHEAD_BYTES;
                (self.rows.max(bytes), ROWS_BYTES_MAX)
            }
            _ => {
                self.others += bytes;
                if tag == PARAMETER_STATUS {
                    self.parameters += bytes;
                }
                (self.others.max(self.parameters), ANSWER_BYTES_MAX)
            }
        };
        if taken > most || bytes > FRAME_BYTES_MAX || announced < 4 {
            return Err(SourceError::Nonsense(format!(
                "the server announces a message {:?} of {announced} bytes, which makes {taken} of an answer; \
                 {most} are accepted",
                char::from(tag)
            )));
        }
        if tag == READY_FOR_QUERY {
            (self.rows, self.others) = (0, 0);
        }
        self.to_come = announced - 4;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testbed::impostor::postgres::{announced, message, parameter, ready, row};

    use super::*;

    fn taken(parts: &[Vec<u8>]) -> Result<(), String> {
        let mut allowance = Allowance::default();
        let mut taken = || parts.iter().try_for_each(|part| allowance.take(part));
        taken().map_err(|error| error.to_string())
    }

    #[test]
    fn each_answer_has_its_own_allowance_however_it_arrives() {
        let text = "x".repeat(ANSWER_BYTES_MAX / 3);
        let answer = [message(b'N', text.as_bytes()), row(&["a"]), ready()].concat();
        let answers = answer.repeat(10);
        assert_eq!(taken(std::slice::from_ref(&answers)), Ok(()));
        for size in [1, 3, 7, 4096] {
            let parts: Vec<_> = answers.chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(taken(&parts), Ok(()), "{size}");
        }
    }

    #[test]
    fn what_has_no_end_or_is_too_large_is_named() {
        let notice = message(b'N', "x".repeat(ANSWER_BYTES_MAX / 3).as_bytes());
        let value = "x".repeat(ANSWER_BYTES_MAX / 3);
        let parameters = [parameter("a", &value), ready()].concat();
        for (parts, words) in [
            (vec![notice; 3], "message 'N'"),
            (vec![parameters; 3], "message 'S'"),
            (vec![announced(b'D', u32::MAX, &[])], "4294967295 bytes"),
            (vec![announced(b'D', 0x1000_0000, &[])], "268435456 bytes"),
            (vec![announced(b'd', 0x1000_0000, &[])], "268435456 bytes"),
            (vec![announced(b'T', 0x0010_0000, &[])], "1048576 bytes"),
            (vec![announced(b'Z', 3, &[])], "3 bytes"),
            (vec![announced(b'Z', 0, &[])], "0 bytes"),
            (vec![row(&[]).repeat(100_000); 40], "message 'D' of 6 bytes"),
        ] {
            let said = taken(&parts).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
