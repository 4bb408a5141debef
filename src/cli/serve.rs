//! `tidegate serve`: the gateway itself.

use std::sync::Arc;

use anyhow::Context;

use super::{ConfigArgs, Exit, load};
use crate::app;
use crate::base::dumps;
use crate::server::drain::Report;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// Serves until told to leave.
///
/// # Errors
/// What kept it from starting.
pub(super) fn run(arguments: &ConfigArgs) -> anyhow::Result<Exit> {
    // Before the first key is read.
    let forbidden = dumps::forbid();
    let settings = match load(&arguments.config) {
        Ok(settings) => settings,
        Err(exit) => return Ok(exit),
    };
    let metrics = Arc::new(Metrics::new());
    let _log = log::start(&settings.log, Arc::clone(&metrics)).context("the log cannot be started")?;
    if let Err(error) = forbidden {
        tracing::warn!(%error, "core dumps cannot be switched off: a crash may write keys and passwords to disk");
    }
    // Connections live on workers of their own; this one accepts them, asks authorities, and listens to signals.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let report = runtime.block_on(app::serve::serve(settings, metrics))?;
    Ok(said(&report))
}

/// Nothing cut is fine; what was cut is said, and is something wrong.
fn said(report: &Report) -> Exit {
    if report.requests == 0 {
        tracing::info!("left; nothing was cut");
        return Exit::Fine;
    }
    let repositories = report.repositories.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    tracing::warn!(
        requests = report.requests,
        uploads = report.uploads,
        repositories,
        "left; these were cut: raise drain.timeout if pushes take longer"
    );
    Exit::Wrong
}
