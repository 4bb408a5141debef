use std::io;
use std::sync::{Arc, Mutex};

use super::*;

/// A writer whose lines can be read back; for the tests of every layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// What was written so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// What was written so far, a JSON object a line.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What this thread logs from here on, for as long as the guard is held.
pub(crate) fn capture() -> (Captured, tracing::subscriber::DefaultGuard) {
    let captured = Captured::default();
    let settings = Settings { format: Format::Json, level: "info".to_owned() };
    let guard = tracing::subscriber::set_default(subscriber(&settings, captured.clone(), false).unwrap());
    (captured, guard)
}

fn run(format: Format, level: &str, f: impl FnOnce()) -> Captured {
    let captured = Captured::default();
    let settings = Settings { format, level: level.to_owned() };
    tracing::subscriber::with_default(subscriber(&settings, captured.clone(), false).unwrap(), f);
    captured
}

#[test]
fn a_json_line_is_one_flat_object() {
    let captured = run(Format::Json, "info", || {
        tracing::info!(number = 3, text = "a\u{1b}b\nc", "what happened");
        tracing::debug!("not at this level");
    });
    let lines = captured.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["number"], 3);
    assert_eq!(lines[0]["text"], "a\u{1b}b\nc");
    assert_eq!(lines[0]["message"], "what happened");
    assert_eq!(lines[0]["level"], "INFO");
    assert!(!captured.text().contains('\u{1b}'), "a control byte went to the terminal");
}

#[test]
fn a_text_line_stays_one_line_whatever_a_field_holds() {
    let captured = run(Format::Text, "info", || tracing::info!(text = "a\u{1b}[31m\nb", "what happened"));
    assert_eq!(captured.text().lines().count(), 1);
    assert!(!captured.text().contains('\u{1b}'));
}

#[test]
fn access_lines_pass_a_quieter_level_unless_it_names_them() {
    let event = || tracing::info!(target: ACCESS, "request");
    assert_eq!(run(Format::Json, "error", event).lines().len(), 1);
    assert_eq!(run(Format::Json, "error,tidegate::access=off", event).lines().len(), 0);
}

#[test]
fn libraries_are_not_heard_below_info_even_when_asked_for_by_name() {
    let events = || {
        tracing::trace!(target: "tidegate", "own");
        tracing::trace!(target: "tidegate::server", "own");
        tracing::info!(target: "h2::proto", "a library at info");
        tracing::debug!(target: "h2::server", "a library that tells what it read");
        tracing::trace!(target: "tidegate_like", "another crate");
        tracing::debug_span!(target: "h2::codec", "read", what = "a frame").in_scope(|| tracing::info!("in its span"));
    };
    for level in
        ["trace", "info,h2=trace,tidegate=trace,tidegate_like=trace", "h2::server=debug,tidegate=trace,h2=info"]
    {
        let json = run(Format::Json, level, events).lines();
        let heard: Vec<_> = json.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(heard, ["own", "own", "a library at info", "in its span"], "{level}");
        let text = run(Format::Text, level, events).text();
        assert!(!text.contains("tells what it read") && !text.contains("a frame"), "{level}: {text}");
    }
}

#[test]
fn a_level_that_is_none_is_said_to_be_none() {
    let settings = Settings { format: Format::Json, level: "tidegate=loud".to_owned() };
    let Err(error) = subscriber(&settings, Captured::default(), false) else { panic!("it was taken") };
    assert!(error.to_string().contains("`tidegate=loud` is not a log level"));
}
