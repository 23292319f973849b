//! What a reader of standard output sees.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::seen::Seen;

/// Everything that was written, in memory.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    /// The lines of a destination.
    pub(super) fn seen(&self, destination: &str) -> Vec<Seen> {
        let bytes = self.0.lock().unwrap().clone();
        let lines = String::from_utf8(bytes).unwrap();
        let values = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        values
            .filter(|value| value["destination"] == destination)
            .map(|value| of_line(&value))
            .collect()
    }
}

fn of_line(line: &Value) -> Seen {
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let headers: BTreeMap<String, String> =
        serde_json::from_value(line["headers"].clone()).unwrap();
    let payload = match text("payload_base64") {
        Some(encoded) => Some(STANDARD.decode(encoded).unwrap()),
        None => text("payload").map(String::into_bytes),
    };
    Seen {
        id: text("id").unwrap(),
        key: text("key"),
        payload,
        headers,
    }
}
