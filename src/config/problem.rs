//! What is wrong with a configuration, said in one go: where, which key, what, and what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Whether a problem keeps Tidegate from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but is seldom meant.
    Warning,
}

/// One mistake, or one thing to be warned of. Written `LINE:COLUMN: error: KEY: what — what to do`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The path of the key as TOML writes it, such as `sites."registry.example.com".realm`; empty when the file is no TOML there.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write, or to do, instead.
    pub instead: String,
}

/// Everything found in one file, in the order of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The file, as it was named.
    pub file: PathBuf,
    /// In the order of lines.
    pub list: Vec<Problem>,
}

impl Problems {
    /// How many of one severity there are.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|problem| problem.severity == severity).count()
    }

    /// «2 errors, 1 warning»; empty when there is nothing.
    #[must_use]
    pub fn summary(&self) -> String {
        let say = |severity, word: &str| match self.count(severity) {
            0 => None,
            1 => Some(format!("1 {word}")),
            many => Some(format!("{many} {word}s")),
        };
        let parts = [say(Severity::Error, "error"), say(Severity::Warning, "warning")];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// One line each, `FILE:` in front; no summary.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.list.iter().map(|problem| format!("{}:{problem}", self.file.display()));
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}: {severity}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{} — {}", self.what, self.instead)
    }
}

/// Where something stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The key's path; empty for the file as a whole.
    pub(crate) key: String,
    /// Bytes of the text.
    pub(crate) span: Range<usize>,
}

impl Place {
    /// The place of `name` within `self`, quoted where TOML wants it.
    pub(crate) fn child(&self, name: &str, span: Range<usize>) -> Self {
        let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let name = if bare { name.to_owned() } else { format!("{name:?}") };
        let key = if self.key.is_empty() { name } else { format!("{}.{name}", self.key) };
        Self { key, span }
    }
}

/// What is said of a key that must be there.
const MISSING: &str = "missing";

/// Collects problems while a file is read, and turns places into lines.
#[derive(Debug)]
pub(crate) struct Reporter<'a> {
    file: &'a Path,
    text: &'a str,
    list: Vec<Problem>,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, list: Vec::new() }
    }

    /// Something that must be mended before Tidegate starts.
    pub(crate) fn error(&mut self, place: &Place, what: impl Into<String>, instead: impl Into<String>) {
        self.add(Severity::Error, place, what.into(), instead.into());
    }

    /// Something that is seldom meant.
    pub(crate) fn warn(&mut self, place: &Place, what: impl Into<String>, instead: impl Into<String>) {
        self.add(Severity::Warning, place, what.into(), instead.into());
    }

    /// A key that must be there and is not. Not said of a file that is no TOML: the key may stand on a line that could
    /// not be read.
    pub(crate) fn missing(&mut self, place: &Place, instead: impl Into<String>) {
        if !self.broken() {
            self.error(place, MISSING, instead);
        }
    }

    /// Takes back what was said of keys missing in a section, but for the one that says what else it needs.
    pub(crate) fn forgive_missing(&mut self, section: &Place, but: &str) {
        let but = section.child(but, 0..0).key;
        let within = |key: &str| key.strip_prefix(&section.key).is_some_and(|rest| rest.starts_with('.'));
        self.list.retain(|problem| problem.what != MISSING || problem.key == but || !within(&problem.key));
    }

    /// Something that is no TOML.
    pub(crate) fn syntax(&mut self, error: &toml::de::Error) {
        let instead = match error.message() {
            "duplicate key" => "say it once, and write each `[section]` once",
            message if message.starts_with("invalid") || message.contains("must be quoted") => {
                "put text into double quotes, as in `key = \"text\"`"
            }
            _ => "write it as https://toml.io has it",
        };
        let span = error.span().unwrap_or_default();
        self.error(&Place { key: String::new(), span }, error.message(), instead);
    }

    /// Whether some of the file is no TOML.
    pub(crate) fn broken(&self) -> bool {
        self.list.iter().any(|problem| problem.key.is_empty())
    }

    /// Whether this key, or one within it, was complained of.
    pub(crate) fn spoke_of(&self, key: &str) -> bool {
        self.list.iter().any(|problem| {
            problem.severity == Severity::Error
                && problem.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Whether an error was reported.
    pub(crate) fn failed(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Everything, in the order of lines. Where a line is no TOML, what else was made of that line is left out: it would
    /// only repeat the mistake in other words.
    pub(crate) fn finish(mut self) -> Problems {
        let broken: Vec<usize> = self.list.iter().filter(|p| p.key.is_empty()).map(|p| p.line).collect();
        self.list.retain(|problem| problem.key.is_empty() || !broken.contains(&problem.line));
        self.list.sort_by_key(|problem| (problem.line, problem.column));
        self.list.dedup();
        Problems { file: self.file.to_owned(), list: self.list }
    }

    fn add(&mut self, severity: Severity, place: &Place, what: String, instead: String) {
        let before = self.text.get(..place.span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.list.push(Problem { severity, line, column, key: place.key.clone(), what, instead });
    }
}

#[cfg(test)]
mod tests;
