//! A warning that is due again only after a while: what a stranger can cause must not fill a log.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

/// At most one warning in this time.
const PAUSE: Duration = Duration::from_secs(60);

/// When one kind of warning was given last.
#[derive(Debug)]
pub struct Seldom {
    since: Instant,
    /// Milliseconds after `since` at which the next is due.
    next: AtomicU64,
}

impl Default for Seldom {
    fn default() -> Self {
        Self { since: Instant::now(), next: AtomicU64::new(0) }
    }
}

impl Seldom {
    /// True at most once a minute, for one of all who ask at the same time.
    pub fn due(&self) -> bool {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Ordering::Relaxed);
        let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
        now >= next
            && self.next.compare_exchange(next, now.saturating_add(pause), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_of_many_is_due_until_a_minute_is_over() {
        let seldom = Seldom::default();
        assert!(seldom.due());
        assert!(!seldom.due());
        tokio::time::advance(PAUSE).await;
        assert!(seldom.due());
        assert!(!seldom.due());
    }
}
