//! Where log lines go: into memory, and from there, by a thread of its own, to standard error.
//!
//! ```text
//! workers ─ a line ─▶ pending (bounded) ─ what has gathered ─▶ the writer ─▶ standard error
//! ```
//!
//! A worker must wait neither for a system call per request nor for whoever reads the log: were it to, a log that
//! nobody reads would stop every push. A lone line is written at once; while lines keep coming they are gathered for
//! a moment. What does not fit is counted and, as soon as there is room again, told.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::labels::Limit;
use super::metrics::Metrics;

/// Bytes that may wait to be written: several thousand access lines.
const PENDING: usize = 4 * 1024 * 1024;
/// Bytes of buffer kept after a burst.
const KEPT: usize = 64 * 1024;
/// How long lines are gathered once some have been written.
const GATHER: Duration = Duration::from_millis(20);
/// How long the end of the process waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Takes lines; cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    news: Condvar,
    done: Condvar,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    /// The writer waits for news.
    asleep: bool,
    lost: u64,
    closed: bool,
    ended: bool,
}

/// Ends the journal when dropped: what is pending is written first, within two seconds.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct Closing {
    journal: Journal,
    _writer: JoinHandle<()>,
}

impl Journal {
    /// Starts the writer.
    ///
    /// # Errors
    /// The system's, when it has no thread for it.
    pub(super) fn start(out: impl Write + Send + 'static, metrics: Arc<Metrics>) -> io::Result<(Self, Closing)> {
        let shared = Shared { pending: Mutex::default(), news: Condvar::new(), done: Condvar::new(), metrics };
        let journal = Self(Arc::new(shared));
        let shared = Arc::clone(&journal.0);
        let writer = std::thread::Builder::new().name("tidegate-log".into()).spawn(move || shared.write(out))?;
        Ok((journal.clone(), Closing { journal, _writer: writer }))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, line: &[u8]) {
        let mut pending = self.lock();
        if pending.lines.len() + line.len() > PENDING {
            pending.lost += 1;
            drop(pending);
            self.metrics.limit_hit(Limit::LogLines);
            return;
        }
        pending.lines.extend_from_slice(line);
        if std::mem::take(&mut pending.asleep) {
            self.news.notify_one();
        }
    }

    /// The writer's life.
    fn write(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        while let Some(lost) = self.gathered(&mut lines) {
            // There is nobody to tell that standard error is gone.
            let _ = out.write_all(&lines).and_then(|()| out.flush());
            lines.clear();
            lines.shrink_to(KEPT);
            if lost > 0 {
                tracing::warn!(lines = lost, "log lines were lost: whoever reads this log is too slow");
            }
        }
        self.lock().ended = true;
        self.done.notify_all();
    }

    /// Waits for lines and swaps them for the empty `lines`. Returns how many were lost; none at the end.
    fn gathered(&self, lines: &mut Vec<u8>) -> Option<u64> {
        let mut pending = self.lock();
        // Nobody wakes it during this wait but the end: that is what gathers.
        let wait = |pending: &mut Pending| !pending.closed;
        (pending, _) = self.news.wait_timeout_while(pending, GATHER, wait).unwrap_or_else(PoisonError::into_inner);
        while pending.lines.is_empty() {
            if pending.closed {
                return None;
            }
            pending.asleep = true;
            pending = self.news.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        pending.asleep = false;
        std::mem::swap(lines, &mut pending.lines);
        Some(std::mem::take(&mut pending.lost))
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let shared = &self.journal.0;
        let mut pending = shared.lock();
        pending.closed = true;
        shared.news.notify_all();
        // Whoever reads the log may have stopped doing so.
        drop(shared.done.wait_timeout_while(pending, LAST_LINES, |pending| !pending.ended));
    }
}

impl Write for &Journal {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Journal {
    type Writer = &'a Journal;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests;
