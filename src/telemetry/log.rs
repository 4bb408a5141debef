//! The log's settings and start.

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `format`
    pub format: Format,
    /// `level`: a `tracing` filter, such as `info` or `tidegate=debug`.
    pub level: String,
}

/// How a log line is written, to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
