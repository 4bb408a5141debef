//! HTTP/2 towards clients: one connection, a task for each of its streams.
//!
//! ```text
//! Frames ─▶ the crate h2 (frames, HPACK, streams) ─ a stream ─▶ Exchange ─▶ the service
//!                 ▲ windows, pings                               ├ Incoming: the request's body
//!               Pulse ◀────────── what was heard ────────────────┘ Outgoing: the answer's
//! ```
//!
//! `frames` counts what the client sends, `pulse` asks whether it is still there and lets more come over a long line. It
//! must never take a stream that was reset for one that ended, and never let more come than `pulse` has a share for.

mod body;
mod exchange;
mod frames;
mod outgoing;
mod pulse;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, Handshake, SendResponse};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use self::body::Incoming;
use self::exchange::Exchange;
use self::frames::Frames;
use self::pulse::{Beat, Heard, Pulse, WINDOW};
use super::activity::Activity;
use super::{Settings, message};
use crate::base::body::Body;
use crate::base::io::WriteIdle;
use crate::telemetry::metrics::Metrics;

/// What the crate keeps of an answer for each stream whose client reads slowly.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams a client opened and reset before we looked at them (RFC 9113 §10.5; «rapid reset»).
const PENDING_RESETS: usize = 20;
/// Streams we reset for a client's mistakes before the connection ends («made you reset»).
const LOCAL_RESETS: usize = 128;
/// Streams we reset whose late frames are still known for what they are, and for how long.
const RESETS_KNOWN: (usize, Duration) = (50, Duration::from_secs(1));
/// A field costs this much of a header list beside its bytes (RFC 9113 §6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// What all connections share. Every limit the crate has is written down: some of its defaults are none.
pub(super) struct Protocol {
    builder: Builder,
    /// What windows may grow by, all together, in MiB.
    growth: Arc<Semaphore>,
    idle: Duration,
    metrics: Arc<Metrics>,
}

impl Protocol {
    pub(super) fn new(settings: &Settings, metrics: Arc<Metrics>) -> Self {
        let list = settings.header_bytes.saturating_add(settings.headers.saturating_mul(FIELD_OVERHEAD));
        let mut builder = Builder::new();
        builder
            .initial_window_size(WINDOW.stream)
            .initial_connection_window_size(WINDOW.connection)
            .max_concurrent_streams(settings.h2_streams)
            .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_local_error_reset_streams(Some(LOCAL_RESETS))
            .max_concurrent_reset_streams(RESETS_KNOWN.0)
            .reset_stream_duration(RESETS_KNOWN.1);
        Self { builder, growth: Arc::new(Semaphore::new(pulse::GROWTH)), idle: settings.idle, metrics }
    }
}

/// Why a connection ended that did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The transport failed, or a bound beneath it was hit.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// One side broke the protocol.
    #[error("HTTP/2 came to an end")]
    Protocol(#[source] h2::Error),
    /// The client gives no sign of life.
    #[error("the client answers no ping")]
    Silent,
}

impl From<h2::Error> for Error {
    fn from(error: h2::Error) -> Self {
        if error.is_io() {
            return Self::Io(error.into_io().unwrap_or_else(|| io::ErrorKind::Other.into()));
        }
        Self::Protocol(error)
    }
}

/// A connection, which ends when this does.
pub(super) struct Connection<T, S> {
    state: State<T>,
    service: S,
    heard: Arc<Heard>,
    protocol: Arc<Protocol>,
    is_leaving: bool,
}

type Io<T> = WriteIdle<Frames<T>>;

enum State<T> {
    /// Until the client has sent its preface (RFC 9113 §3.4).
    Opening(Box<Handshake<Io<T>, Bytes>>),
    Open(Box<Open<T>>),
}

struct Open<T> {
    streams: h2::server::Connection<Io<T>, Bytes>,
    pulse: Pulse,
}

/// Nothing in it is pinned: a stream's future is a task's.
impl<T, S> Unpin for Connection<T, S> {}

impl<T, S, F> Connection<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    /// A connection before its first byte.
    pub(super) fn new(io: T, service: S, protocol: Arc<Protocol>, activity: Arc<Activity>) -> Self {
        let heard = Arc::new(Heard::new(activity));
        let frames = Frames::new(io, Arc::clone(&protocol.metrics), Arc::clone(&heard));
        let io = WriteIdle::new(frames, protocol.idle);
        let state = State::Opening(Box::new(protocol.builder.handshake(io)));
        Self { state, service, heard, protocol, is_leaving: false }
    }

    /// Ends with the streams under way: GOAWAY (RFC 9113 §6.8).
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        if let State::Open(open) = &mut self.state {
            open.streams.graceful_shutdown();
        }
    }

    /// The client speaks HTTP/2.
    fn open(&mut self, mut streams: h2::server::Connection<Io<T>, Bytes>) {
        if self.is_leaving {
            streams.graceful_shutdown();
        }
        let growth = Arc::clone(&self.protocol.growth);
        let pulse = Pulse::new(streams.ping_pong(), Arc::clone(&self.heard), growth, self.protocol.idle);
        self.state = State::Open(Box::new(Open { streams, pulse }));
    }

    /// A stream was opened.
    fn ask(&self, request: Request<RecvStream>, reply: SendResponse<Bytes>) {
        let length = message::content_length(request.headers());
        let request = request.map(|stream| {
            if stream.is_end_stream() {
                return Body::empty();
            }
            Body::wrap(Incoming::new(stream, length, Arc::clone(&self.heard)))
        });
        let head_only = request.method() == Method::HEAD;
        let running = Box::pin((self.service)(request));
        tokio::spawn(Exchange::new(running, reply, head_only, self.protocol.idle, Arc::clone(&self.protocol.metrics)));
    }
}

impl<T, S, F> Future for Connection<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Opening(handshake) => {
                    let streams = ready!(Pin::new(&mut **handshake).poll(cx))?;
                    this.open(streams);
                }
                State::Open(open) => {
                    match open.pulse.poll(cx) {
                        Poll::Ready(Beat::Grown(windows)) => {
                            open.streams.set_target_window_size(windows.connection);
                            // The client has said nothing yet to the last change: the next one says it all.
                            let _ = open.streams.set_initial_window_size(windows.stream);
                            continue;
                        }
                        Poll::Ready(Beat::Lost) => return Poll::Ready(Err(Error::Silent)),
                        Poll::Pending => {}
                    }
                    match ready!(open.streams.poll_accept(cx)) {
                        Some(stream) => {
                            let (request, reply) = stream?;
                            this.ask(request, reply);
                        }
                        None => return Poll::Ready(Ok(())),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
