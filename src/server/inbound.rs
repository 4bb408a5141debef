//! A request's body as it comes in: counted, timed while it is waited for, and kept when nobody reads it.
//!
//! Only waiting for the client is timed. A registry that takes the bytes slowly is not the client's fault, and there
//! is no deadline over a whole body.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::activity::Busy;
use super::refused::Unread;
use crate::base::body::{Body, BodyError, Malformed};
use crate::telemetry::labels::Limit;
use crate::telemetry::outcome::{Record, Side};

/// The bounds of waiting for a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// `timeouts.idle`: between two frames.
    pub(super) idle: Duration,
    /// `limits.min_rate`, bytes a second over all that was waited; 0: no bound.
    pub(super) min_rate: u64,
}

/// The body a service is given.
#[derive(Debug)]
pub(super) struct Inbound {
    /// None once it has ended, or failed.
    inner: Option<Body>,
    patience: Patience,
    record: Record,
    unread: Unread,
    busy: Option<Busy>,
}

impl Inbound {
    pub(super) fn new(inner: Body, bounds: Bounds, record: Record, unread: Unread, busy: Option<Busy>) -> Self {
        Self { inner: Some(inner), patience: Patience::new(bounds), record, unread, busy }
    }

    fn end(&mut self) {
        self.inner = None;
        self.busy = None;
    }

    fn fail(&mut self, words: impl Into<Cow<'static, str>>) {
        self.record.failed(Side::Client, words);
        self.end();
    }
}

impl HttpBody for Inbound {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(body) = this.inner.as_mut() else { return Poll::Ready(None) };
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let ended = body.is_end_stream();
                this.patience.came(frame.data_ref().map_or(0, Bytes::len));
                this.record.received(frame.data_ref().map_or(0, |data| data.len() as u64));
                if ended {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                match error.downcast_ref::<Malformed>() {
                    Some(malformed) => this.fail(malformed.to_string()),
                    None => this.fail("the request's body broke off"),
                }
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Poll::Ready(limit) = this.patience.poll(cx) else { return Poll::Pending };
                this.record.metrics().limit_hit(limit);
                this.fail("the client stalled in the request's body");
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the client stalled").into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if let Some(body) = self.inner.take() {
            self.unread.give(body, self.busy.take());
        }
    }
}

/// How long a client is waited for. The timer is set once and looks again when it fires, so that a body that keeps
/// coming costs a reading of the clock per wait and no timer operation.
#[derive(Debug)]
struct Patience {
    bounds: Bounds,
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, since: None, waited: Duration::ZERO, bytes: 0, timer: None }
    }

    /// Bytes came: the wait is over.
    fn came(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Ready when the client has been waited for long enough, with the bound that says so.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Limit> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let (deadline, limit) = self.deadline(since);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if deadline <= now {
                return Poll::Ready(limit);
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn deadline(&self, since: Instant) -> (Instant, Limit) {
        let idle = (since + self.bounds.idle, Limit::Idle);
        if self.bounds.min_rate == 0 {
            return idle;
        }
        // The first `idle` is free, then every second must have been earned by its bytes.
        let earned = Duration::from_secs(self.bytes / self.bounds.min_rate);
        let left = (self.bounds.idle + earned).saturating_sub(self.waited);
        if left < self.bounds.idle { (since + left, Limit::MinRate) } else { idle }
    }
}

#[cfg(test)]
mod tests;
