//! HTTP/1.1 towards clients: one connection, one request at a time, in one task.
//!
//! ```text
//! Waiting ─ head ─▶ Asked ─ answer ─▶ Answering ─┬─ both bodies over ─▶ Waiting
//!    │                └ Incoming reads the body  ├─ 101 ──────────────▶ handed over
//!    │ refused, too long                         └─ last ─────────────▶ Closing ─▶ over
//!    └──────────────▶ 400, 431 ─▶ Leaving ─▶ over
//! ```
//!
//! `framing` says where messages end, `head` what a head means, `wire` reads what is wanted and no more; `answer` tells
//! an answer's length, and `base::h1` sends it. It must never hand on a part as the whole, never take a byte for one
//! thing that another reader may take for another, and hold no buffer while it waits.

mod answer;
mod body;
mod farewell;
mod head;
mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use self::answer::Answer;
use self::body::Incoming;
use self::farewell::{Farewell, REQUEST_TIMEOUT, refusal};
use self::head::{Asked, Unfit};
use self::wire::{Head, NoHead, Reading, Shared, Wire};
use super::activity::{Activity, Busy};
use super::framing::Error;
use super::slots::{Slot, Slots};
use crate::base::body::Body;
use crate::base::h1::sending::{Sending, Unsent};
use crate::base::upgrade::{Handover, Switched, Upgrade};
use crate::telemetry::labels::{Fault, Label, Limit};
use crate::telemetry::metrics::Metrics;

/// How long a client has to hear that it was too slow. It gets no time to say more: it had its time.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// What bounds every connection.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// `limits.header_bytes`
    pub header_bytes: usize,
    /// `limits.headers`
    pub headers: usize,
    /// How much is read at a time of a head, and with it of what follows, for which perhaps nobody is ready.
    pub first: usize,
    /// How much is read at a time of a body.
    pub read: usize,
    /// How much is written at a time.
    pub written: usize,
    /// `limits.drain_bytes`, `timeouts.drain`: what is read after a refusal.
    pub refused: (u64, Duration),
}

/// Serves a connection that is alone: it has no place among others, and nobody ends it when it is quiet.
///
/// # Errors
/// The connection's, and that it broke off in the middle of a message.
pub async fn serve<T, S, F>(io: T, service: S, metrics: Arc<Metrics>, bounds: Bounds) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let slots = Slots::new(1, 0, Arc::clone(&metrics));
    let Some(room) = slots.room().await else { return Ok(()) };
    let slot = slots.take(room, &Arc::default());
    let activity = Activity::new(Duration::MAX, Duration::MAX);
    let client = SocketAddr::from(([0, 0, 0, 0], 0));
    Connection::new(io, service, slot, activity, metrics, bounds, client).await
}

/// A connection, which ends when this does.
pub(super) struct Connection<T: AsyncRead + AsyncWrite + Unpin, S, F> {
    wire: Shared<T>,
    /// The connection's place among all, while it is ours.
    slot: Option<Slot>,
    service: S,
    phase: Phase<F>,
    /// It ends with what is under way.
    is_last: bool,
    activity: Arc<Activity>,
    metrics: Arc<Metrics>,
    bounds: Bounds,
    client: SocketAddr,
}

/// Nothing in it is pinned but what is in a box of its own.
impl<T: AsyncRead + AsyncWrite + Unpin, S, F> Unpin for Connection<T, S, F> {}

#[expect(
    clippy::large_enum_variant,
    reason = "a connection that rests keeps 200 bytes for it, and a request allocates nothing"
)]
enum Phase<F> {
    /// For a head.
    Waiting,
    /// The service has the request.
    Asked { running: Pin<Box<F>>, asked: Asked, handover: Option<Handover> },
    /// Until both the answer and the request's body are over.
    Answering { sending: Sending, handover: Option<Handover>, _busy: Busy },
    /// The connection speaks another protocol, and is whose who asked for that.
    HandedOver,
    /// After what is the last answer.
    Closing,
    /// After a refusal.
    Leaving(Box<Farewell>),
}

impl<T, S, F> Connection<T, S, F>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    /// A connection before its first byte.
    pub(super) fn new(
        io: T,
        service: S,
        slot: Slot,
        activity: Arc<Activity>,
        metrics: Arc<Metrics>,
        bounds: Bounds,
        client: SocketAddr,
    ) -> Self {
        let wire = Shared::new(Wire::new(io, bounds));
        let (slot, phase) = (Some(slot), Phase::Waiting);
        Self { wire, slot, service, phase, is_last: false, activity, metrics, bounds, client }
    }

    /// Ends with what is under way.
    pub(super) fn leave(&mut self) {
        self.is_last = true;
    }

    /// Ends while a head is awaited, and says why where that does not stand in the middle of an answer.
    pub(super) async fn give_up(self) {
        if matches!(self.phase, Phase::Waiting) {
            let bounds = (self.bounds.refused.0, LAST_PATIENCE);
            let mut farewell = Farewell::new(REQUEST_TIMEOUT, bounds, self.activity.busy());
            std::future::poll_fn(|cx| farewell.poll(self.wire.lock().io(), cx)).await;
        }
    }

    /// A head has come.
    fn ask(&mut self, head: &Head) {
        let parsed = match head::parse(&head.lines, self.bounds.headers) {
            Ok(parsed) => parsed,
            Err(unfit) => return self.phase = self.unfit(unfit),
        };
        let mut wire = self.wire.lock();
        if parsed.waits {
            wire.wait_to_be_asked();
        }
        let is_over = wire.reading() == Reading::Over;
        drop(wire);
        let body = if is_over { Body::empty() } else { Body::wrap(Incoming::new(self.wire.clone(), head.length)) };
        let mut request = parsed.request.map(|()| body);
        let handover = head.switches.then(|| Upgrade::offer(&mut request));
        let running = Box::pin((self.service)(request));
        self.phase = Phase::Asked { running, asked: parsed.asked, handover };
    }

    /// The answer has come.
    fn answer(&mut self, response: Response<Body>, asked: Asked, handover: Option<Handover>) {
        let handover = handover.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS);
        let wire = self.wire.lock();
        // Who was not asked for its body may send it all the same or take the answer for a no: what comes next would have
        // two readings.
        let is_left = wire.waits() || !matches!(wire.reading(), Reading::Body | Reading::Trailers | Reading::Over);
        drop(wire);
        let answer = Answer::new(response, asked, self.is_last || is_left, handover.is_some());
        self.is_last |= answer.is_last;
        self.phase = Phase::Answering { sending: answer.sending, handover, _busy: self.activity.busy() };
    }

    /// The answer is out, and so is the request's body: what comes then.
    fn next(&mut self, handover: Option<Handover>) -> Phase<F> {
        let mut wire = self.wire.lock();
        match (wire.reading(), handover) {
            // It was told that nothing follows its answer.
            (Reading::Over, None) if self.is_last => Phase::Closing,
            (Reading::Over, _) if wire.is_hasty() => {
                drop(wire);
                self.refused(Error::Head(Fault::Upgrade))
            }
            (Reading::Over, Some(handover)) => {
                drop(wire);
                let place = self.slot.take();
                // Nobody may want it any more.
                let _ = handover.send(Switched { io: Box::new(self.wire.clone()), place: Box::new(place) });
                Phase::HandedOver
            }
            (Reading::Over, None) => {
                wire.next();
                Phase::Waiting
            }
            (Reading::Refused(error), _) => {
                drop(wire);
                self.refused(error)
            }
            _ => Phase::Closing,
        }
    }

    /// No request came of a head.
    fn no_head(&mut self, why: NoHead) -> io::Result<()> {
        match why {
            NoHead::End => self.phase = Phase::Closing,
            NoHead::TooLong => {
                self.metrics.limit_hit(Limit::HeaderBytes);
                self.phase =
                    self.leaving(refusal("431 Request Header Fields Too Large", "the request's head is too large"));
            }
            NoHead::Refused(error) => self.phase = self.refused(error),
            NoHead::Io(error) => return Err(error),
        }
        Ok(())
    }

    /// A head is no request.
    fn unfit(&self, unfit: Unfit) -> Phase<F> {
        match unfit {
            Unfit::Fields => {
                self.metrics.limit_hit(Limit::Headers);
                self.leaving(refusal("431 Request Header Fields Too Large", "too many header fields"))
            }
            Unfit::Target => self.leaving(refusal("414 URI Too Long", "the request target is too long")),
            Unfit::Parser => self.refused(Error::Head(Fault::Parser)),
        }
    }

    /// What is refused for how it is written is counted, and answered where it is no part of a request that was.
    fn refused(&self, error: Error) -> Phase<F> {
        let fault = error.fault();
        self.metrics.malformed(fault);
        tracing::debug!(client = %self.client, fault = fault.as_str(), %error, "a request was refused for its framing");
        let last = match error {
            Error::Head(_) => refusal("400 Bad Request", error.words()),
            Error::Body(_) => Vec::new(),
        };
        self.leaving(last)
    }

    /// These are the last words.
    fn leaving(&self, last: Vec<u8>) -> Phase<F> {
        Phase::Leaving(Box::new(Farewell::new(last, self.bounds.refused, self.activity.busy())))
    }
}

impl<T, S, F> Future for Connection<T, S, F>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.phase {
                Phase::Waiting => {
                    let mut wire = this.wire.lock();
                    let polled = wire.poll_head(cx);
                    let has_begun = wire.has_begun();
                    drop(wire);
                    match polled {
                        Poll::Ready(Ok(head)) => this.ask(&head),
                        Poll::Ready(Err(why)) => this.no_head(why)?,
                        Poll::Pending if this.is_last && !has_begun => this.phase = Phase::Closing,
                        Poll::Pending => {
                            if has_begun {
                                this.activity.heard();
                            }
                            return Poll::Pending;
                        }
                    }
                }
                Phase::Asked { running, asked, handover } => match running.as_mut().poll(cx) {
                    Poll::Ready(Ok(response)) => {
                        let (asked, handover) = (*asked, handover.take());
                        this.answer(response, asked, handover);
                    }
                    Poll::Pending => return this.wire.lock().poll_gone(cx).map(Err),
                },
                Phase::Answering { sending, handover, .. } => {
                    ready!(this.wire.lock().poll_asked(cx))?;
                    match sending.poll(cx, &mut this.wire, this.bounds.written) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(Unsent::Io(error))) => return Poll::Ready(Err(error)),
                        // Its end is missing, which is how the client knows.
                        Poll::Ready(Err(unsent)) => return Poll::Ready(Err(io::Error::other(unsent))),
                        Poll::Pending => return this.wire.lock().poll_gone(cx).map(Err),
                    }
                    let mut wire = this.wire.lock();
                    if matches!(wire.reading(), Reading::Body | Reading::Trailers) {
                        return wire.poll_gone(cx).map(Err);
                    }
                    drop(wire);
                    let handover = handover.take();
                    this.phase = this.next(handover);
                }
                Phase::HandedOver => return Poll::Ready(Ok(())),
                Phase::Closing => {
                    ready!(Pin::new(&mut this.wire).poll_shutdown(cx))?;
                    if !this.wire.lock().has_more(cx) {
                        return Poll::Ready(Ok(()));
                    }
                    let listening = Farewell::said(this.bounds.refused, this.activity.busy());
                    this.phase = Phase::Leaving(Box::new(listening));
                }
                Phase::Leaving(farewell) => {
                    if let Some(limit) = ready!(farewell.poll(this.wire.lock().io(), cx)) {
                        this.metrics.limit_hit(limit);
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
