//! Warnings that anybody can bring about: said once a minute, not once a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long it stays quiet after it was said.
pub const QUIET: Duration = Duration::from_secs(60);

/// Whether it is time to say something again. One value for each thing there is to say; takes no lock.
#[derive(Debug)]
pub struct Seldom {
    since: Instant,
    /// From when on it is due, in milliseconds after `since`.
    due: AtomicU64,
}

impl Seldom {
    /// Due at once.
    #[must_use]
    pub fn new() -> Self {
        Self { since: Instant::now(), due: AtomicU64::new(0) }
    }

    /// True at most once a [`QUIET`], for one of all who ask; who is told so says it.
    #[must_use]
    pub fn due(&self) -> bool {
        let now = millis(self.since.elapsed());
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(millis(QUIET));
        now >= due && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Default for Seldom {
    fn default() -> Self {
        Self::new()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
