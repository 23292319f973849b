use std::fmt::{self, Write as _};

use serde::ser::{SerializeMap, Serializer as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How one line of the log looks: when, how bad, which relay, where in the code, then the event's
/// own fields beside them. Whatever a field holds, it stays one line.
#[derive(Clone, Debug)]
pub(super) struct LogLine {
    pub(super) relay: String,
    pub(super) json: bool,
}

impl<S, N> FormatEvent<S, N> for LogLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let line = if self.json {
            self.json(&timestamp, event).map_err(|_| fmt::Error)?
        } else {
            self.text(&timestamp, event)
        };
        writeln!(writer, "{line}")
    }
}

impl LogLine {
    fn json(&self, timestamp: &str, event: &Event<'_>) -> serde_json::Result<String> {
        let mut bytes = Vec::with_capacity(256);
        let mut serializer = serde_json::Serializer::new(&mut bytes);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", timestamp)?;
        map.serialize_entry("level", event.metadata().level().as_str())?;
        map.serialize_entry("relay", &self.relay)?;
        map.serialize_entry("target", event.metadata().target())?;
        let mut fields = JsonFields {
            map: &mut map,
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result?;
        map.end()?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn text(&self, timestamp: &str, event: &Event<'_>) -> String {
        let mut fields = TextFields::default();
        event.record(&mut fields);
        let TextFields { message, rest } = fields;
        let level = event.metadata().level();
        format!("{timestamp} {level:>5} {}: {message}{rest}", self.relay)
    }
}

/// Writes fields beside the line's own, which no field may repeat.
struct JsonFields<'a, M: SerializeMap> {
    map: &'a mut M,
    result: Result<(), M::Error>,
}

impl<M: SerializeMap> JsonFields<'_, M> {
    fn add(&mut self, field: &Field, value: &(impl serde::Serialize + ?Sized)) {
        let taken = ["timestamp", "level", "relay", "target"].contains(&field.name());
        if !taken && self.result.is_ok() {
            self.result = self.map.serialize_entry(field.name(), value);
        }
    }
}

impl<M: SerializeMap> Visit for JsonFields<'_, M> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, &value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.add(field, &value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.add(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, &value);
    }
}

#[derive(Default)]
struct TextFields {
    message: String,
    rest: String,
}

impl Visit for TextFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = one_line(&text);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(self.rest, " {}={}", field.name(), one_line(&text));
        }
    }
}

/// The text without line breaks and other control characters, which could forge lines.
fn one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}
