//! What a connection is doing, so that one which does nothing ends in time.
//!
//! ```text
//! opened ─ bytes ─▶ head ─ request ─▶ busy ─ last body dropped ─▶ quiet ─ bytes ─▶ head …
//!   request_head      request_head     no bound here                keep_alive
//! ```
//!
//! A request's head and the pause before it are two waits, which operators set apart. While a request is busy its bodies
//! have timers of their own.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// What a connection is doing; shared by itself, its requests and its driver.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    request_head: Duration,
    keep_alive: Duration,
}

#[derive(Debug)]
struct State {
    busy: usize,
    /// Since when nothing is busy.
    quiet: Instant,
    /// Since when a head is being read.
    head: Option<Instant>,
    /// Whether a request has come.
    asked: bool,
}

/// A wait that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// A request's head did not come to its end.
    Head,
    /// Not even a first head began.
    Silent,
    /// No further request came.
    Quiet,
}

impl Activity {
    /// A connection just opened.
    pub(super) fn new(request_head: Duration, keep_alive: Duration) -> Arc<Self> {
        let state = State { busy: 0, quiet: Instant::now(), head: None, asked: false };
        Arc::new(Self { state: Mutex::new(state), request_head, keep_alive })
    }

    /// A request has come; it is busy until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.lock().asked = true;
        self.busy()
    }

    /// Something goes on until the guard is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        let mut state = self.lock();
        state.busy += 1;
        state.head = None;
        Busy(Arc::clone(self))
    }

    /// A part of an answer went out, for which nobody may be busy any more.
    pub(super) fn went_on(&self) {
        let mut state = self.lock();
        if state.busy == 0 {
            state.quiet = Instant::now();
        }
    }

    /// Whether a request has not ended.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().busy > 0
    }

    /// When the present wait is over; none while a request is busy.
    fn deadline(&self) -> Option<(Instant, Expired)> {
        let state = self.lock();
        match (state.busy, state.head, state.asked) {
            (0, Some(since), _) => Some((since + self.request_head, Expired::Head)),
            (0, None, true) => Some((state.quiet + self.keep_alive, Expired::Quiet)),
            (0, None, false) => Some((state.quiet + self.request_head, Expired::Silent)),
            _ => None,
        }
    }

    /// Part of a head has come, over HTTP/1, where bytes between requests can be nothing else.
    pub(super) fn heard(&self) {
        let mut state = self.lock();
        if state.busy == 0 && state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, or a body of one, that has not ended.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Clone for Busy {
    fn clone(&self) -> Self {
        self.0.busy()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.busy -= 1;
        if state.busy == 0 {
            state.quiet = Instant::now();
        }
    }
}

/// The timer of a connection's driver. It is set for the earliest end it may have and looks again when it fires, so
/// that a busy connection costs no timer operation per request.
#[derive(Debug)]
pub(super) struct Watch {
    activity: Arc<Activity>,
    timer: Pin<Box<Sleep>>,
}

impl Watch {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        let timer = Box::pin(tokio::time::sleep(activity.request_head));
        Self { activity, timer }
    }

    /// Ready when a wait is over. To be polled after the connection, whose progress it looks at.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let deadline = self.activity.deadline();
            let now = Instant::now();
            if let Some((at, expired)) = deadline {
                if at <= now {
                    return Poll::Ready(expired);
                }
                if at < self.timer.deadline() {
                    self.timer.as_mut().reset(at);
                }
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let later = now + self.activity.keep_alive.max(Duration::from_millis(1));
            self.timer.as_mut().reset(deadline.map_or(later, |(at, _)| at));
        }
    }
}

#[cfg(test)]
mod tests;
