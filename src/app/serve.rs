//! Running until told to leave.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::recover::recover;
use super::{Error, Shared};
use crate::admin::{Admin, Readiness, Reason};
use crate::base::clock::Clock;
use crate::config::Settings;
use crate::server::descriptors;
use crate::server::drain::{Drain, Report};
use crate::server::listener::Server;
use crate::telemetry::metrics::Metrics;

/// Serves until SIGTERM or SIGINT, then leaves: what runs may finish, until `drain.timeout` or a second signal.
///
/// # Errors
/// [`Error`] when it cannot start.
///
/// # Cancel safety
/// Not to be dropped: connections would be left as they are.
pub async fn serve(mut settings: Settings, metrics: Arc<Metrics>) -> Result<Report, Error> {
    let warnings = std::mem::take(&mut settings.warnings);
    let drain = Drain::new(settings.server.drain_delay, settings.server.drain_timeout);
    fit_connections(&mut settings);
    let server = Server::bind(settings.server.clone(), Arc::clone(&metrics))?;
    let runtime = tokio::runtime::Handle::current();
    let admin = settings.admin.as_ref().map(Admin::bind).transpose()?;
    let shared = Arc::new(Shared::new(settings, Clock::System, &metrics, drain.unwilling(), &runtime)?);
    for warning in &warnings.list {
        let (key, line) = (&warning.key, warning.line);
        tracing::warn!(%key, line, what = %warning.what, instead = %warning.instead, "configuration");
    }
    let mut signals = Signals::new().map_err(Error::Signals)?;
    let listening = server.local_addr().map(|address| address.to_string()).unwrap_or_default();
    if let Some(admin) = admin {
        runtime.spawn(admin.serve(Arc::clone(&metrics), readiness(drain.clone(), Arc::clone(&shared))));
    }
    runtime.spawn(recover(Arc::clone(&shared), Arc::clone(&metrics)));
    let serving = server.serve(move |_| shared.dispatch(), &drain)?;
    tracing::info!(address = %listening, version = env!("CARGO_PKG_VERSION"), "serving");
    let signal = signals.next().await;
    tracing::info!(signal, "leaving: no new uploads; a second signal ends at once");
    let hurried = drain.clone();
    tokio::spawn(async move {
        signals.next().await;
        hurried.hurry();
    });
    let report = serving.leave().await;
    Ok(report)
}

/// Takes what descriptors the system gives, and lets no more clients in than those are enough for: the others wait in
/// the kernel's queue, which is kinder than failing requests that were let in.
fn fit_connections(settings: &mut Settings) {
    let (configured, descriptors) = (settings.server.connections, descriptors::raise());
    let fitting = descriptors::connections(descriptors);
    if configured > fitting {
        tracing::warn!(
            configured,
            fitting,
            descriptors,
            needed = descriptors::needed(configured),
            "limits.connections is more than the file descriptors are enough for: raise the hard limit (LimitNOFILE)"
        );
        settings.server.connections = fitting;
    }
}

/// Why a balancer should send clients elsewhere.
fn readiness(drain: Drain, shared: Arc<Shared>) -> Readiness {
    Arc::new(move || {
        let leaving = (!drain.is_ready()).then(|| Reason { part: "process".into(), state: "draining".into() });
        let cut_off = shared.is_cut_off().then(|| Reason { part: "every registry".into(), state: "down".into() });
        leaving.into_iter().chain(cut_off).collect()
    })
}

/// The signals that end the process, and the one that would by default but must not.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                // Not a reason to drop every push: a terminal that closes sends it, and so does a habit from nginx.
                _ = self.hangup.recv() => {
                    tracing::warn!("SIGHUP: the configuration is read at start only; restart to change it");
                }
            }
        }
    }
}
