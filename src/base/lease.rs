//! A request body lent to an upstream request and taken back.
//!
//! A request that could not be sent goes to another origin with its body unread; a request that was answered before
//! its body ended has the rest of it read, within bounds, so that the client hears the answer. Both need the body
//! back from the upstream connection that holds it. Taking it back makes the lent half fail, so what the upstream
//! got can never look like the whole.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;

use super::body::{Body, BodyError, Malformed};

/// How far a lent body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No byte has been read: the body may be lent again.
    Untouched,
    /// Some was read.
    Started,
    /// All was read.
    Ended,
    /// Reading it failed: the client went away, or stalled.
    Failed,
    /// The client sent nonsense.
    Malformed(Malformed),
}

impl Progress {
    /// Whether no end will come of it.
    #[must_use]
    pub fn has_failed(self) -> bool {
        matches!(self, Self::Failed | Self::Malformed(_))
    }
}

/// The body's owner.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug)]
struct State {
    body: Option<Body>,
    /// Whether there was nothing to read from the beginning.
    is_empty: bool,
    progress: Progress,
    /// Nobody reads any more: the last loan was dropped.
    dropped: bool,
    /// Which loan may read; an older one finds the body gone.
    loan: u64,
    reader: Option<Waker>,
}

/// The body was taken back by its owner.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request body was taken back")]
pub struct TakenBack;

impl Lease {
    /// Takes the body over.
    #[must_use]
    pub fn new(body: Body) -> Self {
        let is_empty = body.is_end_stream();
        let progress = if is_empty { Progress::Ended } else { Progress::Untouched };
        let state = State { body: Some(body), is_empty, progress, dropped: false, loan: 0, reader: None };
        Self(Arc::new(Shared { state: Mutex::new(state), ended: Notify::new() }))
    }

    /// Lends the body; an earlier loan fails from now on. So does this one, if any of the body was read.
    #[must_use]
    pub fn lend(&self) -> Body {
        let mut state = self.0.lock();
        state.loan += 1;
        state.dropped = false;
        if state.is_empty {
            return Body::empty();
        }
        let loan = state.loan;
        if state.progress != Progress::Untouched {
            // What is left must never look like the whole: this loan is taken back at once.
            state.loan += 1;
        }
        Body::wrap(Loan { shared: Arc::clone(&self.0), loan })
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.lock().progress
    }

    /// Waits until nothing more of the body will be read: it has ended or failed, or its reader was dropped. Returns
    /// which loan that was; the body may be lent again.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub async fn ended(&self) -> u64 {
        loop {
            let notified = self.0.ended.notified();
            if let Some(loan) = self.0.lock().over() {
                return loan;
            }
            notified.await;
        }
    }

    /// Whether `loan` was the last one, and nothing more will be read of it.
    #[must_use]
    pub fn is_over(&self, loan: u64) -> bool {
        self.0.lock().over() == Some(loan)
    }

    /// Takes back what was not read; the loan fails. `None` when all was read or reading failed.
    #[must_use]
    pub fn reclaim(&self) -> Option<Body> {
        let mut state = self.0.lock();
        state.loan += 1;
        let body = state.body.take();
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        match state.progress {
            Progress::Untouched | Progress::Started => body,
            Progress::Ended | Progress::Failed | Progress::Malformed(_) => None,
        }
    }
}

impl State {
    fn over(&self) -> Option<u64> {
        let over = self.dropped || self.progress == Progress::Ended || self.progress.has_failed();
        over.then_some(self.loan)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Loan {
    shared: Arc<Shared>,
    loan: u64,
}

impl HttpBody for Loan {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.shared.lock();
        if state.loan != self.loan {
            return Poll::Ready(Some(Err(TakenBack.into())));
        }
        // What has failed once must not end well the next time it is asked.
        let failed = state.progress.has_failed();
        let Some(body) = state.body.as_mut().filter(|_| !failed) else {
            return Poll::Ready(Some(Err(TakenBack.into())));
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let end = body.is_end_stream();
        match &polled {
            Poll::Pending => {
                if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
                    state.reader = Some(cx.waker().clone());
                }
                return polled;
            }
            Poll::Ready(Some(Ok(_))) if !end => state.progress = Progress::Started,
            Poll::Ready(Some(Err(error))) => {
                state.progress = error.downcast_ref().copied().map_or(Progress::Failed, Progress::Malformed);
            }
            Poll::Ready(_) => state.progress = Progress::Ended,
        }
        if state.progress != Progress::Started {
            self.shared.ended.notify_waiters();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        state.loan == self.loan
            && !state.progress.has_failed()
            && state.body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.shared.lock();
        let body = state.body.as_ref().filter(|_| state.loan == self.loan);
        body.map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.loan == self.loan {
            state.dropped = true;
            self.shared.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
