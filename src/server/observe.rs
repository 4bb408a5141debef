//! What is seen of every request: its id, its record, its bodies, and that it runs.
//!
//! ```text
//! request  ─▶ id, Record ─▶ Inbound ─▶ the service
//! answer   ◀─ X-Request-Id ◀─ Outbound (dropped: the access line and the metrics are written) ◀─
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::activity::{Activity, Busy};
use super::drain::{Drain, Running};
use super::inbound::{self, Inbound};
use super::refused::{self, Unread};
use crate::base::body::{Body, BodyError};
use crate::base::peer::Peer;
use crate::oci::error::{self, ErrorCode};
use crate::telemetry::labels::{Limit, Listener};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outcome::{Ending, Outcome, Record, Side};

/// The header that carries a request's id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of an id that is taken from a peer.
const MAX_REQUEST_ID: usize = 128;

/// What every request's observation shares.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: Drain,
    pub(super) ids: RequestIds,
    pub(super) inbound: inbound::Bounds,
    pub(super) refused: refused::Bounds,
    /// `limits.headers`, of requests over HTTP/2; over HTTP/1 they are bounded where they are read.
    pub(super) headers: usize,
}

/// What is kept of a request until its answer is there.
#[derive(Debug)]
pub(super) struct Observed {
    id: HeaderValue,
    guards: Guards,
    unread: Option<Unread>,
    head_only: bool,
}

impl Observer {
    /// Begins to observe a request; it comes back as the service is to have it, or with the answer to give instead.
    pub(super) fn begin(
        &self,
        mut request: Request<Body>,
        peer: &Arc<Peer>,
        activity: &Arc<Activity>,
    ) -> (Observed, Result<Request<Body>, Box<Response<Body>>>) {
        let busy = activity.begin();
        let too_many = request.headers().len() > self.headers;
        let id = self.ids.of(&request);
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let (mut head, body) = request.into_parts();
        let outcome = Outcome::new(Listener::Public, &head, peer.address.ip(), id.clone());
        let (record, ending) = Record::begin(outcome, Arc::clone(&self.metrics));
        let running = self.drain.running(record.clone());
        head.extensions.insert(Arc::clone(peer));
        head.extensions.insert(record.clone());

        let unread = (!body.is_end_stream()).then(|| Unread::new(self.refused, Arc::clone(&self.metrics)));
        let head_only = head.method == Method::HEAD;
        let request = if too_many {
            self.metrics.limit_hit(Limit::Headers);
            record.failed(Side::Client, "too many header fields");
            if let Some(unread) = &unread {
                unread.give(body, Some(busy.clone()));
            }
            Err(Box::new(refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too many header fields")))
        } else {
            let body = match &unread {
                Some(unread) => {
                    Body::wrap(Inbound::new(body, self.inbound, record, unread.clone(), Some(busy.clone())))
                }
                None => body,
            };
            Ok(Request::from_parts(head, body))
        };
        let guards = Guards { ending, running, busy: Some(busy) };
        (Observed { id, guards, unread, head_only }, request)
    }
}

impl Observed {
    /// What is written down of the request.
    pub(super) fn record(&self) -> &Record {
        self.guards.ending.record()
    }

    /// The answer is there.
    pub(super) fn finish(self, mut response: Response<Body>) -> Response<Body> {
        let Self { id, guards, unread, head_only } = self;
        if let Some(unread) = unread {
            unread.answered();
        }
        response.headers_mut().entry(REQUEST_ID).or_insert(id);
        guards.ending.record().answered(response.status());
        response.map(|body| {
            let mut body = Outbound { inner: body, guards };
            // The connection drops such a body unread.
            if head_only || body.inner.is_end_stream() {
                body.complete();
            }
            Body::wrap(body)
        })
    }
}

/// What lives as long as an answer.
#[derive(Debug)]
struct Guards {
    ending: Ending,
    running: Running,
    busy: Option<Busy>,
}

/// A registry-style error of our own, before anyone else saw the request.
fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(error::body(ErrorCode::Unknown, message, &[])));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

/// An answer's body on its way out: counted, and the end of everything that is known of the request.
struct Outbound {
    inner: Body,
    guards: Guards,
}

impl Outbound {
    fn complete(&mut self) {
        self.guards.ending.complete();
        self.guards.running.complete();
        self.guards.busy = None;
    }
}

impl HttpBody for Outbound {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        // As of a request's handling (see `stack`), a panic is this answer's, and not its connection's.
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.inner).poll_frame(cx)));
        let Ok(polled) = polled else {
            let poisoned = std::mem::replace(&mut this.inner, Body::wrap(Panicked));
            let _ = catch_unwind(AssertUnwindSafe(|| drop(poisoned)));
            let record = this.guards.ending.record();
            record.metrics().panicked();
            record.failed(Side::Gateway, "the answer's handling panicked");
            return Pin::new(&mut this.inner).poll_frame(cx);
        };
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                let sent = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.guards.ending.record().sent(sent);
                // A connection that knows the length drops the body after its last byte without asking for more.
                if this.inner.is_end_stream() || this.inner.size_hint().exact() == Some(0) {
                    this.complete();
                }
            }
            Poll::Ready(Some(Err(_))) => {
                this.guards.ending.record().failed(Side::Upstream, "the answer's body broke off");
            }
            Poll::Ready(None) => this.complete(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What is left of a body that panicked: no end, however often it is asked for.
struct Panicked;

impl HttpBody for Panicked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Err("the answer's handling panicked".into())))
    }
}

/// Where request ids come from.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: [u8; 16],
    next: AtomicU64,
}

impl RequestIds {
    /// Ids of this process begin alike; which process it is is drawn at random, and nothing rests on it.
    pub(super) fn new() -> Self {
        let mut process = [0; 8];
        // Without randomness ids of two processes may be equal, which no more than confuses their readers.
        let _ = aws_lc_rs::rand::fill(&mut process);
        Self { process: hex(process), next: AtomicU64::new(0) }
    }

    /// The peer's id, where it is one that can stand in any log; else a new one.
    fn of<B>(&self, request: &Request<B>) -> HeaderValue {
        let theirs = request.headers().get(REQUEST_ID).filter(|value| is_plain(value.as_bytes()));
        theirs.cloned().unwrap_or_else(|| {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let text = [self.process, hex(number.to_be_bytes())].concat();
            HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or_else(|_| HeaderValue::from_static("none"))
        })
    }
}

fn hex(bytes: [u8; 8]) -> [u8; 16] {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    let mut text = [0; 16];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
    }
    text
}

fn is_plain(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=MAX_REQUEST_ID).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests;
