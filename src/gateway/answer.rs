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

/// Waits for an answer's head: as long as the request's body takes, then `response`. `sending` is best given pinned:
/// by value it would be kept twice.
///
/// # Errors
/// [`Silent`].
///
/// # Cancel safety
/// That of `sending`.
pub async fn within<T>(response: Duration, lease: &Lease, sending: impl Future<Output = T>) -> Result<T, Silent> {
    let silence = async {
        // A request that goes to another origin has its body read once more, and its last byte is still to come.
        loop {
            let loan = lease.ended().await;
            tokio::time::sleep(response).await;
            if lease.is_over(loan) {
                return;
            }
        }
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const RESPONSE: Duration = Duration::from_secs(900);

    #[tokio::test(start_paused = true)]
    async fn the_time_for_an_answer_begins_with_the_last_byte() {
        let lease = Lease::new(Body::full("layer"));
        let mut loan = lease.lend();
        let sending = async {
            tokio::time::sleep(3 * RESPONSE).await;
            while loan.frame().await.is_some() {}
            tokio::time::sleep(RESPONSE / 2).await;
        };
        assert_eq!(within(RESPONSE, &lease, sending).await, Ok(()));
        let silent = within(RESPONSE, &lease, std::future::pending::<()>()).await;
        assert_eq!(silent, Err(Silent));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_goes_to_another_origin_is_waited_for_anew() {
        let lease = Lease::new(Body::full("layer"));
        let sending = async {
            drop(lease.lend());
            tokio::time::sleep(RESPONSE / 2).await;
            let mut again = lease.lend();
            tokio::time::sleep(3 * RESPONSE).await;
            while again.frame().await.is_some() {}
            tokio::time::sleep(RESPONSE / 2).await;
        };
        assert_eq!(within(RESPONSE, &lease, sending).await, Ok(()));
    }
}
