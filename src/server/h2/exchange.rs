//! One stream: a request at the service, then its answer on its way out.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Response};
use http_body::Body as _;

use super::outgoing::{Outgoing, Unsent};
use super::turn::Turn;
use crate::base::body::Body;
use crate::server::message;
use crate::telemetry::labels::Limit;
use crate::telemetry::metrics::Metrics;

/// What belongs to a connection over HTTP/1.1 and may not stand in an answer (RFC 9113 §8.2.2).
pub(super) const OF_CONNECTIONS: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// # Cancel safety
/// Dropping it resets the stream.
pub(super) struct Exchange<F> {
    /// In a box, which is gone once there is an answer: what runs for as long as a client reads would keep the room for it.
    running: Option<Pin<Box<F>>>,
    has_begun: bool,
    reply: SendResponse<Bytes>,
    outgoing: Option<Outgoing>,
    head_only: bool,
    idle: Duration,
    metrics: Arc<Metrics>,
    turn: Arc<Turn>,
}

/// Nothing in it is pinned but what is in a box of its own.
impl<F> Unpin for Exchange<F> {}

impl<F> Exchange<F> {
    /// `idle`: how long a client may keep the stream's window shut.
    pub(super) fn new(
        running: Pin<Box<F>>,
        reply: SendResponse<Bytes>,
        head_only: bool,
        idle: Duration,
        metrics: Arc<Metrics>,
        turn: Arc<Turn>,
    ) -> Self {
        Self { running: Some(running), has_begun: false, reply, outgoing: None, head_only, idle, metrics, turn }
    }
}

impl<F> Future for Exchange<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.turn.take() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(running) = &mut this.running {
            // A client that does not want the answer any more says so, or is gone: what has not begun does not begin then.
            if !std::mem::replace(&mut this.has_begun, true) && this.reply.poll_reset(cx).is_ready() {
                return Poll::Ready(());
            }
            let Poll::Ready(Ok(response)) = running.as_mut().poll(cx) else {
                return this.reply.poll_reset(cx).map(drop);
            };
            this.running = None;
            this.outgoing = answer(&mut this.reply, response, this.head_only, this.idle);
        }
        let Some(outgoing) = &mut this.outgoing else { return Poll::Ready(()) };
        if let Err(unsent) = ready!(outgoing.poll(cx)) {
            if matches!(unsent, Unsent::Idle) {
                this.metrics.limit_hit(Limit::Idle);
            }
            tracing::debug!(error = &unsent as &dyn std::error::Error, "an answer was not sent to its end");
        }
        Poll::Ready(())
    }
}

/// Sends an answer's head, and gives what is to follow it.
fn answer(
    reply: &mut SendResponse<Bytes>,
    response: Response<Body>,
    head_only: bool,
    idle: Duration,
) -> Option<Outgoing> {
    let (mut parts, body) = response.into_parts();
    let has_body = !(body.is_end_stream() || head_only || message::is_bare(parts.status));
    for name in OF_CONNECTIONS {
        parts.headers.remove(name);
    }
    if let Some(length) = body.size_hint().exact().filter(|length| has_body || (head_only && *length > 0)) {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    parts.headers.entry(DATE).or_insert_with(message::date);
    match reply.send_response(Response::from_parts(parts, ()), !has_body) {
        Ok(stream) => has_body.then(|| Outgoing::new(stream, body, idle)),
        Err(error) => {
            tracing::debug!(%error, "an answer could not be sent");
            reply.send_reset(Reason::INTERNAL_ERROR);
            None
        }
    }
}
