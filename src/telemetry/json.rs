//! A log line as one flat JSON object.
//!
//! Every request writes one such line, so it is put together in one buffer with as little ceremony as its fields
//! allow: most values need no escaping, and the few that do are left to `serde_json`.

use std::cell::RefCell;
use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::base::clock::{Clock, Timestamp};

/// Bytes of a line that is long but not unusual.
const LINE: usize = 1024;

/// `{"timestamp":"…","level":"…","message":"…", fields …,"target":"…"}` and a line feed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::with_capacity(LINE);
        line.push_str("{\"timestamp\":\"");
        timestamp(&mut line, Clock::System.precise());
        line.push_str("\",\"level\":\"");
        line.push_str(event.metadata().level().as_str());
        line.push('"');
        event.record(&mut Fields(&mut line));
        line.push_str(",\"target\":");
        string(&mut line, event.metadata().target());
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// Writes an event's fields behind those that are there.
struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        // The names are identifiers of ours.
        self.0.push_str(",\"");
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }

    /// What is JSON as it stands.
    fn plain(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.0.push_str(value);
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        string(self.0, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, if value { "true" } else { "false" });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, itoa::Buffer::new().format(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, itoa::Buffer::new().format(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is no number (RFC 8259 §6).
        let text = if value.is_finite() { value.to_string() } else { "null".to_owned() };
        self.plain(field, &text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        let start = self.0.len();
        let _ = write!(self.0, "\"{value:?}\"");
        let inner = self.0.get(start + 1..self.0.len() - 1).unwrap_or_default();
        if !is_plain(inner) {
            let inner = inner.to_owned();
            self.0.truncate(start);
            string(self.0, &inner);
        }
    }
}

thread_local! {
    /// The last second that was written, and its text up to the fraction.
    static SECOND: RefCell<(Timestamp, String)> = const { RefCell::new((Timestamp(i64::MIN), String::new())) };
}

/// A moment of RFC 3339, to the microsecond.
fn timestamp(line: &mut String, (second, micros): (Timestamp, u32)) {
    SECOND.with_borrow_mut(|(last, text)| {
        if *last != second {
            *last = second;
            *text = second.to_string();
            let _zone = text.pop();
        }
        line.push_str(text);
    });
    // A leading one keeps the fraction's zeros, and becomes its point.
    let fraction = line.len();
    line.push_str(itoa::Buffer::new().format(micros.saturating_add(1_000_000)));
    line.replace_range(fraction..=fraction, ".");
    line.push('Z');
}

/// A JSON string (RFC 8259 §7).
fn string(line: &mut String, text: &str) {
    if is_plain(text) {
        line.push('"');
        line.push_str(text);
        line.push('"');
    } else {
        line.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Whether no character has to be escaped. Most texts are a few words long, too short for the compiler's own vectors.
fn is_plain(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks();
    let special = words.iter().fold(0, |special, word| special | special_bytes(u64::from_ne_bytes(*word)));
    special == 0 && !rest.iter().any(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
}

/// Not zero if any of these eight bytes is a control character, a quote or a backslash. A byte below `n` borrows from its
/// highest bit when `n` is subtracted, and has none itself.
fn special_bytes(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    let below = |word: u64, n: u64| word.wrapping_sub(EACH * n) & !word;
    let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (EACH << 7)
}

#[cfg(test)]
mod tests;
