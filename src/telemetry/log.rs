//! The log's settings and start: one line an event, to standard error.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The target of access lines. They are written at `info` whatever `log.level` says, unless it names this target.
pub const ACCESS: &str = "tidegate::access";

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

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `log.level` is no filter.
    #[error("`{level}` is not a log level: write `error`, `warn`, `info`, `debug`, `trace`, or `target=level,…`")]
    Level {
        /// What was written.
        level: String,
        /// Where it stops being one.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// There is a log already.
    #[error("the log was started before")]
    Started(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Starts the process's log, on standard error.
///
/// # Errors
/// [`Error`], and then nothing was started.
pub fn start(settings: &Settings) -> Result<(), Error> {
    let subscriber = subscriber(settings, std::io::stderr, std::io::stderr().is_terminal())?;
    tracing::subscriber::set_global_default(subscriber).map_err(Error::Started)
}

/// The subscriber [`start`] starts, writing to `writer`; `ansi` colours text.
///
/// # Errors
/// [`Error::Level`]
pub fn subscriber<W>(
    settings: &Settings,
    writer: W,
    ansi: bool,
) -> Result<Box<dyn Subscriber + Send + Sync + 'static>, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter(&settings.level)?).with_writer(writer);
    Ok(match settings.format {
        Format::Json => {
            Box::new(builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish())
        }
        Format::Text => Box::new(builder.with_ansi(ansi).finish()),
    })
}

/// `level` as a filter that lets access lines pass.
fn filter(level: &str) -> Result<EnvFilter, Error> {
    let directives = if level.contains(ACCESS) { level.to_owned() } else { format!("{level},{ACCESS}=info") };
    EnvFilter::builder().parse(&directives).map_err(|source| Error::Level { level: level.to_owned(), source })
}

#[cfg(test)]
pub(crate) mod tests;
