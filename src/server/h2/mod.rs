//! HTTP/2 towards clients: one connection and its streams, in one task.
//!
//! ```text
//! Frames ─▶ the crate h2 (frames, HPACK, streams) ─ a stream ─▶ Exchange ─▶ the service
//!                 ▲ windows, pings                               ├ Incoming: the request's body
//!               Pulse ◀────────── what was heard ────────────────┘ Outgoing: the answer's
//! ```
//!
//! `frames` counts what the client sends, `pulse` asks whether it is still there and lets more come over a long line, `turn`
//! says when it is others' turn. It must never take a stream that was reset for one that ended, never let more come than
//! `pulse` has a share for, and never give a client with many streams more of a worker than one with a few.

mod body;
mod exchange;
mod frames;
mod gather;
mod outgoing;
mod pulse;
mod streams;
mod turn;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
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
use self::gather::{Gather, Hold};
use self::pulse::{Beat, Heard, Pulse, WINDOW};
use self::streams::Streams;
use self::turn::{Bell, Turn, give_way};
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
pub(super) struct Connection<T, S, F> {
    state: State<T>,
    streams: Streams<F>,
    /// Rung when the client has said something, a timer is over, or a stream has something to send.
    line: Arc<Bell>,
    turn: Arc<Turn>,
    hold: Arc<Hold>,
    service: S,
    heard: Arc<Heard>,
    protocol: Arc<Protocol>,
    is_leaving: bool,
}

type Io<T> = Gather<WriteIdle<Frames<T>>>;

enum State<T> {
    /// Until the client has sent its preface (RFC 9113 §3.4).
    Opening(Box<Handshake<Io<T>, Bytes>>),
    Open(Box<Open<T>>),
    /// Its streams have been told.
    Ended(Result<(), Error>),
}

struct Open<T> {
    streams: h2::server::Connection<Io<T>, Bytes>,
    pulse: Pulse,
}

/// Nothing in it is pinned but what is in a box of its own.
impl<T, S, F> Unpin for Connection<T, S, F> {}

impl<T, S, F> Connection<T, S, F>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    /// A connection before its first byte.
    pub(super) fn new(io: T, service: S, protocol: Arc<Protocol>, activity: Arc<Activity>) -> Self {
        let heard = Arc::new(Heard::new(activity));
        let frames = Frames::new(io, Arc::clone(&protocol.metrics), Arc::clone(&heard));
        let hold = Arc::default();
        let io = Gather::new(WriteIdle::new(frames, protocol.idle), Arc::clone(&hold));
        let state = State::Opening(Box::new(protocol.builder.handshake(io)));
        let turn = Arc::default();
        let (streams, line) = (Streams::new(&turn), Bell::new(&turn));
        Self { state, streams, line, turn, hold, service, heard, protocol, is_leaving: false }
    }

    /// Ends with the streams under way: GOAWAY (RFC 9113 §6.8).
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        if let State::Open(open) = &mut self.state {
            open.streams.graceful_shutdown();
            self.line.ring();
        }
    }

    /// The client speaks HTTP/2.
    fn open(&self, mut streams: h2::server::Connection<Io<T>, Bytes>) -> State<T> {
        if self.is_leaving {
            streams.graceful_shutdown();
        }
        let growth = Arc::clone(&self.protocol.growth);
        let pulse = Pulse::new(streams.ping_pong(), Arc::clone(&self.heard), growth, self.protocol.idle);
        State::Open(Box::new(Open { streams, pulse }))
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
        let (metrics, turn) = (Arc::clone(&self.protocol.metrics), Arc::clone(&self.turn));
        self.streams.push(Exchange::new(running, reply, head_only, self.protocol.idle, metrics, turn));
    }

    /// Takes what the client says, and sends what there is to send. Ready when the connection has ended.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if matches!(self.state, State::Open(_)) {
            self.hold.begin();
        }
        loop {
            let open = match &mut self.state {
                State::Opening(handshake) => {
                    let streams = ready!(Pin::new(&mut **handshake).poll(cx))?;
                    self.state = self.open(streams);
                    continue;
                }
                State::Open(open) => open,
                State::Ended(_) => return Poll::Pending,
            };
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
            match open.streams.poll_accept(cx) {
                Poll::Ready(Some(stream)) => {
                    let (request, reply) = stream?;
                    self.ask(request, reply);
                }
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                // It has said all: asked once more, it flushes.
                Poll::Pending if self.hold.end() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Goes on with what can go on until nothing can, or the turn is spent. Ready when the connection and its streams have
    /// ended.
    fn poll_turn(&mut self, line: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.turn.is_spent() && (self.line.is_rung() || self.streams.are_rung()) {
            // Streams first: what came before may have used up the last turn, and a fast client has always more to say.
            self.streams.poll();
            if self.line.answer()
                && let Poll::Ready(ended) = self.poll_line(line)
            {
                self.state = State::Ended(ended);
            }
            if let State::Ended(ended) = &mut self.state
                && self.streams.is_empty()
            {
                return Poll::Ready(std::mem::replace(ended, Ok(())));
            }
        }
        Poll::Pending
    }
}

impl<T, S, F> Future for Connection<T, S, F>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.turn.begin(cx);
        let line = Waker::from(Arc::clone(&self.line));
        let polled = self.poll_turn(&mut Context::from_waker(&line));
        self.turn.end();
        // Whoever rang before that woke nobody.
        if polled.is_pending() && (self.line.is_rung() || self.streams.are_rung()) {
            give_way(cx);
        }
        polled
    }
}

#[cfg(test)]
mod tests;
