//! Leaving: what still runs may finish, nothing new begins, and what was cut is said.
//!
//! ```text
//! Serving ─ leave ─▶ Unready ─ delay ─▶ Draining ─ quiet, or the timeout ─▶ Closed
//!                    not ready          no new uploads                      connections end, then are cut
//! ```
//!
//! Until `Closed` connections are accepted and everything but a new upload is served: a client that pushes opens new
//! connections for its next blobs, and there may be nobody else to take them. Quiet means that no request runs and
//! that no upload was touched for a while, since between two requests of one upload nothing runs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::oci::route::RouteKind;
use crate::telemetry::outcome::Record;

/// How long after its last request an upload counts as going on.
const UPLOAD_PAUSE: Duration = Duration::from_secs(5);
/// Repositories named in a report; the others are counted.
const MAX_NAMED: usize = 20;

/// How far the process has got with leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It is not leaving.
    Serving,
    /// `/readyz` says no, everything is served: the time balancers take to notice.
    Unready,
    /// New uploads are answered 503.
    Draining,
    /// No connection is accepted, and those there are end with the answer under way.
    Closed,
}

/// Leaving, shared by everyone who must know of it.
#[derive(Clone, Debug)]
pub struct Drain(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stage: watch::Sender<Stage>,
    /// [`Stage::Draining`] or later, for those who only ask that.
    unwilling: Arc<AtomicBool>,
    running: AtomicUsize,
    idle: Notify,
    progress: Mutex<Progress>,
    hurry: CancellationToken,
    closing: CancellationToken,
    cut: CancellationToken,
    delay: Duration,
    timeout: Duration,
}

#[derive(Debug, Default)]
struct Progress {
    touched: Option<Instant>,
    cut: Report,
}

/// What had not ended when the process left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Requests whose answer had not ended.
    pub requests: usize,
    /// Of these, the ones that carried an upload.
    pub uploads: usize,
    /// The repositories they were for, the first twenty by name.
    pub repositories: BTreeSet<String>,
    /// Whether `drain.timeout`, or a second signal, ended the wait.
    pub hurried: bool,
}

impl Drain {
    /// Serving. `delay`: how long balancers are given to notice; `timeout`: how long what runs may take.
    #[must_use]
    pub fn new(delay: Duration, timeout: Duration) -> Self {
        Self(Arc::new(Shared {
            stage: watch::Sender::new(Stage::Serving),
            unwilling: Arc::default(),
            running: AtomicUsize::new(0),
            idle: Notify::new(),
            progress: Mutex::default(),
            hurry: CancellationToken::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
            delay,
            timeout,
        }))
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.0.stage.borrow()
    }

    /// Whether `/readyz` may say yes.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.stage() == Stage::Serving
    }

    /// Whether new uploads are to be answered 503.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.unwilling.load(Ordering::Relaxed)
    }

    /// [`Drain::is_draining`] as it changes, for layers that do not know this one.
    #[must_use]
    pub fn unwilling(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.unwilling)
    }

    /// Ends every wait of [`Drain::leave`] now, for a second signal. Before `leave`, it makes that one short.
    pub fn hurry(&self) {
        self.0.hurry.cancel();
    }

    /// Goes from serving to closed; returns when connections are to end. Whether all was quiet then is the answer.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the stage where it is; calling again goes on from there.
    pub async fn leave(&self) -> bool {
        self.reach(Stage::Unready);
        let quiet = tokio::select! {
            biased;
            () = self.0.hurry.cancelled() => false,
            quiet = self.wait() => quiet,
        };
        self.0.lock().cut.hurried = !quiet;
        self.reach(Stage::Closed);
        self.0.closing.cancel();
        quiet
    }

    async fn wait(&self) -> bool {
        if self.stage() == Stage::Unready {
            tokio::time::sleep(self.0.delay).await;
        }
        self.reach(Stage::Draining);
        tokio::time::timeout(self.0.timeout, self.quiet()).await.is_ok()
    }

    /// Waits until no request runs and no upload was touched for [`UPLOAD_PAUSE`].
    async fn quiet(&self) {
        loop {
            if self.0.running.load(Ordering::Acquire) > 0 {
                self.0.idle.notified().await;
                continue;
            }
            let touched = self.0.lock().touched;
            match touched.map(|at| at + UPLOAD_PAUSE) {
                Some(end) if end > Instant::now() => tokio::time::sleep_until(end).await,
                _ => return,
            }
        }
    }

    /// A request runs until the guard is dropped.
    pub(super) fn running(&self, record: Record) -> Running {
        self.0.running.fetch_add(1, Ordering::AcqRel);
        Running { drain: self.clone(), record, complete: false }
    }

    /// An upload was touched.
    pub fn touched(&self) {
        self.0.lock().touched = Some(Instant::now());
    }

    /// Cancelled when connections are to end with the answer under way.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    /// Cancelled when connections are to end as they are.
    pub(super) fn cutting(&self) -> &CancellationToken {
        &self.0.cut
    }

    /// What had not ended; to be asked when every connection is gone.
    pub(super) fn report(&self) -> Report {
        self.0.lock().cut.clone()
    }

    fn reach(&self, stage: Stage) {
        let moved = self.0.stage.send_if_modified(|current| {
            let further = *current < stage;
            if further {
                *current = stage;
            }
            further
        });
        if moved {
            self.0.unwilling.store(stage >= Stage::Draining, Ordering::Relaxed);
            tracing::info!(stage = ?stage, "leaving");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that runs.
#[derive(Debug)]
pub(super) struct Running {
    drain: Drain,
    record: Record,
    complete: bool,
}

impl Running {
    /// Its answer came to its end.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let upload = self.record.with(|outcome| matches!(outcome.route, RouteKind::Upload | RouteKind::UploadOpen));
        let shared = &self.drain.0;
        if upload {
            self.drain.touched();
        }
        if !self.complete && shared.cut.is_cancelled() {
            let repository = self.record.with(|outcome| outcome.repository.as_ref().map(ToString::to_string));
            let cut = &mut shared.lock().cut;
            cut.requests += 1;
            cut.uploads += usize::from(upload);
            if cut.repositories.len() < MAX_NAMED {
                cut.repositories.extend(repository);
            }
        }
        if shared.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            shared.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
