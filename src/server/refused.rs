//! What becomes of a request body that nobody reads to its end.
//!
//! An answer given early is lost if the connection is closed under a client that still writes: its kernel drops what
//! it received with the reset (RFC 9112 §9.6; over HTTP/2 many clients forget the answer with the stream's reset).
//! So what is left is read and thrown away, within bounds of bytes and time, and only then is it over.
//!
//! ```text
//! Inbound ─ dropped unread ─▶ Unread ─ once the answer's head is out ─▶ drain
//! ```
//!
//! It waits for the head because the first read of a body that came with `Expect: 100-continue` (RFC 9110 §10.1.1)
//! asks the client for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;

use super::activity::Busy;
use crate::base::body::Body;
use crate::telemetry::labels::Limit;
use crate::telemetry::metrics::Metrics;

/// How much is read of a body that nobody wants.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// `limits.drain_bytes`
    pub bytes: u64,
    /// `timeouts.drain`
    pub time: Duration,
}

/// The place a request's unread body goes to.
#[derive(Clone, Debug)]
pub(super) struct Unread(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    bounds: Bounds,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
enum State {
    /// There is no answer yet.
    Waiting,
    /// There is none yet, and the body has been given up.
    Held(Body, Option<Busy>),
    /// The answer's head is out.
    Answered,
}

impl Unread {
    pub(super) fn new(bounds: Bounds, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(State::Waiting), bounds, metrics }))
    }

    /// Takes what is left of a body; `busy` keeps the connection from counting as quiet meanwhile.
    pub(super) fn give(&self, body: Body, busy: Option<Busy>) {
        let mut state = self.0.lock();
        match *state {
            State::Answered => self.0.spawn(body, busy),
            State::Waiting | State::Held(..) => *state = State::Held(body, busy),
        }
    }

    /// The answer's head is handed to the connection by whoever is running now; what was given up is read after it.
    pub(super) fn answered(&self) {
        let held = std::mem::replace(&mut *self.0.lock(), State::Answered);
        if let State::Held(body, busy) = held {
            self.0.spawn(body, busy);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads on the worker whose connection the body is. Outside of a runtime there is no connection left either.
    fn spawn(&self, body: Body, busy: Option<Busy>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (bounds, metrics) = (self.bounds, Arc::clone(&self.metrics));
        runtime.spawn(async move {
            if let Some(limit) = drain(body, bounds).await {
                metrics.limit_hit(limit);
            }
            drop(busy);
        });
    }
}

/// Reads `body` and throws it away: to its end, its failure, or a bound, which is then returned.
///
/// # Cancel safety
/// Dropping the future drops the body, and its connection may be closed under a client that still writes.
pub async fn drain(mut body: Body, bounds: Bounds) -> Option<Limit> {
    let reading = async {
        let mut left = bounds.bytes;
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, |data| data.len() as u64);
            left = left.checked_sub(read)?;
        }
        Some(())
    };
    match tokio::time::timeout(bounds.time, reading).await {
        Ok(Some(())) => None,
        Ok(None) => Some(Limit::DrainBytes),
        Err(_) => Some(Limit::DrainTime),
    }
}

#[cfg(test)]
mod tests;
