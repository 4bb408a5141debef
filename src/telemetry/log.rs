//! The log's settings and start: one line an event, to standard error, by way of the [journal](super::journal).
//!
//! Libraries are heard down to `info` and no further, whatever `log.level` says: below it they write what they read.
//! HTTP/2 requests that cannot be parsed, for one, are written with their whole `:path`, query and all. Of a panic, theirs
//! or ours, it is told where it was.

use std::io::IsTerminal;
use std::sync::Arc;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use super::journal::{Closing, Journal};
use super::json::Json;
use super::metrics::Metrics;

/// The target of access lines. They are written at `info` whatever `log.level` says, unless it names this target.
pub const ACCESS: &str = "tidegate::access";

/// The target of our own lines, and what those of our modules begin with.
const OWN: &str = "tidegate";

/// The finest level at which libraries are heard.
const LIBRARIES: Level = Level::INFO;

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `format`
    pub format: Format,
    /// `level`: a `tracing` filter, such as `info` or `tidegate=debug`. Libraries stay at `info` at the finest.
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
    /// The thread that writes it does not start.
    #[error("the log's thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// There is a log already.
    #[error("the log was started before")]
    Started(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Starts the process's log, on standard error; `metrics` count the lines that are lost. What comes back is to be
/// kept to the end: dropping it writes the last lines.
///
/// # Errors
/// [`Error`], and then nothing was started.
pub fn start(settings: &Settings, metrics: Arc<Metrics>) -> Result<Closing, Error> {
    let (journal, closing) = Journal::start(std::io::stderr(), metrics).map_err(Error::Thread)?;
    let subscriber = subscriber(settings, journal, std::io::stderr().is_terminal())?;
    tracing::subscriber::set_global_default(subscriber).map_err(Error::Started)?;
    tell_panics();
    Ok(closing)
}

/// Has a panic be a line of the log: where it was, and not in its words. Those may hold what a request brought, as a
/// slice prints the string that it could not cut, and the hook that is there by default writes them to standard error.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(tracing::field::display);
        tracing::error!(location, thread = std::thread::current().name(), "a panic, whose words are not written down");
    }));
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
        Format::Json => Box::new(builder.event_format(Json).finish().with(filter_fn(is_fit))),
        Format::Text => Box::new(builder.with_ansi(ansi).finish().with(filter_fn(is_fit))),
    })
}

/// Whether an event or a span is one that cannot hold what came over the wire: our own, or a library's that is not
/// about single messages. Asked once for each place in the code, not for each line.
fn is_fit(metadata: &Metadata<'_>) -> bool {
    let own = metadata.target().strip_prefix(OWN).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    own || *metadata.level() <= LIBRARIES
}

/// `level` as a filter that lets access lines pass.
fn filter(level: &str) -> Result<EnvFilter, Error> {
    let directives = if level.contains(ACCESS) { level.to_owned() } else { format!("{level},{ACCESS}=info") };
    EnvFilter::builder().parse(&directives).map_err(|source| Error::Level { level: level.to_owned(), source })
}

#[cfg(test)]
pub(crate) mod tests;
