//! What a connection is doing, so that one which does nothing ends in time.
//!
//! ```text
//! opened ─ bytes ─▶ head ─ request ─▶ busy ─ last body dropped ─▶ quiet ─ bytes ─▶ head …
//!   request_head      request_head     no bound here                keep_alive
//! ```
//!
//! hyper has one timer for both waits, a request's head and the pause before it; operators set the two apart. While a
//! request is busy its bodies have timers of their own.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Instant, Sleep};

use super::slots::Slot;

/// What a connection is doing; shared by its IO, its requests and its driver.
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
    /// Since when a head is being read; HTTP/1 only, where bytes between requests can be nothing else.
    head: Option<Instant>,
    /// Whether bytes begin a head.
    heads: bool,
    /// Requests that have come.
    asked: u64,
    /// Whether the last request for another protocol was agreed to; none: it is not answered, or there is none.
    switched: Option<bool>,
    /// The gate, waiting for one of the two above to change.
    gate: Option<Waker>,
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
    /// A connection just opened. `heads`: whether bytes between requests begin a head (HTTP/1).
    pub(super) fn new(request_head: Duration, keep_alive: Duration, heads: bool) -> Arc<Self> {
        let state = State { busy: 0, quiet: Instant::now(), head: None, heads, asked: 0, switched: None, gate: None };
        Arc::new(Self { state: Mutex::new(state), request_head, keep_alive })
    }

    /// A request has come; it is busy until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.lock().asked += 1;
        self.busy()
    }

    /// Something goes on until the guard is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        let mut state = self.lock();
        state.busy += 1;
        state.head = None;
        Busy(Arc::clone(self))
    }

    /// A request for another protocol is answered: whether it was agreed to.
    pub(super) fn decided(&self, switched: bool) {
        let mut state = self.lock();
        state.switched = Some(switched);
        wake(state);
    }

    /// What [`Activity::decided`] was told, once for each time.
    pub(super) fn poll_decided(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        match state.switched.take() {
            Some(switched) => Poll::Ready(switched),
            None => state.wait(cx),
        }
    }

    /// Ready when so many requests have come and nothing of any goes on.
    pub(super) fn poll_answered(&self, requests: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.busy == 0 && state.asked >= requests { Poll::Ready(()) } else { state.wait(cx) }
    }

    /// When the present wait is over; none while a request is busy.
    fn deadline(&self) -> Option<(Instant, Expired)> {
        let state = self.lock();
        match (state.busy, state.head, state.asked) {
            (0, Some(since), _) => Some((since + self.request_head, Expired::Head)),
            (0, None, 1..) => Some((state.quiet + self.keep_alive, Expired::Quiet)),
            (0, None, 0) => Some((state.quiet + self.request_head, Expired::Silent)),
            _ => None,
        }
    }

    fn heard(&self) {
        let mut state = self.lock();
        if state.heads && state.busy == 0 && state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.gate = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Wakes the gate, and lets go of the lock before.
fn wake(mut state: MutexGuard<'_, State>) {
    let gate = state.gate.take();
    drop(state);
    if let Some(gate) = gate {
        gate.wake();
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
            wake(state);
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

/// A connection's IO: it tells `Activity` of bytes, and holds the connection's place as long as anyone holds the IO,
/// which after an upgrade (RFC 9110 §7.8) is no longer the connection's driver.
#[derive(Debug)]
pub(super) struct Tracked<T> {
    inner: T,
    activity: Arc<Activity>,
    /// Whether everything written so far has been flushed. hyper flushes once it has nothing of its own left to write.
    flushed: bool,
    _slot: Slot,
}

impl<T> Tracked<T> {
    pub(super) fn new(inner: T, activity: Arc<Activity>, slot: Slot) -> Self {
        Self { inner, activity, flushed: true, _slot: slot }
    }

    /// Whether an answer of ours would stand alone, and not in the middle of another.
    pub(super) fn is_flushed(&self) -> bool {
        self.flushed
    }
}

impl<T: Read + Unpin> Read for Tracked<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if matches!(polled, Poll::Ready(Ok(()))) {
            // An end of stream counts as bytes too; the connection ends by it anyway.
            self.activity.heard();
        }
        polled
    }
}

impl<T: Write + Unpin> Write for Tracked<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.flushed = false;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.flushed = matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.flushed = false;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests;
