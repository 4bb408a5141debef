//! A connection's streams.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Response;

use super::exchange::Exchange;
use super::turn::{Bell, Turn};
use crate::base::body::Body;

/// # Cancel safety
/// Dropping it resets them.
pub(super) struct Streams<F> {
    running: FuturesUnordered<Exchange<F>>,
    /// Rung when one of them can go on.
    bell: Arc<Bell>,
}

impl<F> Streams<F> {
    /// None yet. They go on in the turns of their connection.
    pub(super) fn new(turn: &Arc<Turn>) -> Self {
        Self { running: FuturesUnordered::new(), bell: Bell::new(turn) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn are_rung(&self) -> bool {
        self.bell.is_rung()
    }
}

impl<F: Future<Output = Result<Response<Body>, Infallible>>> Streams<F> {
    pub(super) fn push(&self, exchange: Exchange<F>) {
        self.running.push(exchange);
        self.bell.ring();
    }

    /// Goes on with those that can go on, as long as there is something left of the turn.
    pub(super) fn poll(&mut self) {
        if self.bell.answer() {
            let waker = Waker::from(Arc::clone(&self.bell));
            let mut cx = Context::from_waker(&waker);
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(&mut cx) {}
        }
    }
}
