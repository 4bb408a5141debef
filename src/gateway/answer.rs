//! Waiting for an answer, and its body on the way back: what a registry and a web host have in common.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::base::body::{Body, BodyError};
use crate::base::lease::Lease;
use crate::telemetry::labels::Limit;
use crate::telemetry::outcome::{Record, Side};
use crate::upstream::origins::Running;

/// Nobody answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer within the time after the request's last byte")]
pub struct Silent;

/// Waits for an answer's head: as long as the request's body takes, then `response`.
///
/// # Errors
/// [`Silent`].
///
/// # Cancel safety
/// That of `sending`.
pub async fn within<T>(response: Duration, lease: &Lease, sending: impl Future<Output = T>) -> Result<T, Silent> {
    let silence = async {
        lease.ended().await;
        tokio::time::sleep(response).await;
    };
    tokio::select! {
        biased;
        answered = sending => Ok(answered),
        () = silence => Err(Silent),
    }
}

/// The answer's body: as it comes, but not for longer than `timeouts.idle` without a byte.
#[derive(Debug)]
pub struct Relayed {
    inner: Body,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    record: Record,
    _running: Option<Running>,
    _rest: Rest,
}

impl Relayed {
    /// `inner`, the answer to the request whose body is `lease`.
    #[must_use]
    pub fn new(inner: Body, idle: Duration, record: Record, running: Option<Running>, lease: Lease) -> Self {
        Self { inner, idle, timer: None, record, _running: running, _rest: Rest(lease) }
    }
}

/// What was not read of the request's body when its answer ends: taken back, and left to the listener to read within bounds, so that the client hears the answer.
#[derive(Debug)]
struct Rest(Lease);

impl Drop for Rest {
    fn drop(&mut self) {
        drop(self.0.reclaim());
    }
}

/// The answer stopped in the middle.
#[derive(Debug, thiserror::Error)]
#[error("nothing came for {0:?}")]
struct Stalled(Duration);

impl HttpBody for Relayed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.timer = None;
                if let Some(Err(error)) = &frame {
                    self.record.failed(Side::Upstream, format!("the answer broke off: {error}"));
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                let idle = self.idle;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + idle)));
                ready!(timer.as_mut().poll(cx));
                self.record.metrics().limit_hit(Limit::Idle);
                self.record.failed(Side::Upstream, "the answer stopped in the middle");
                Poll::Ready(Some(Err(Stalled(idle).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
