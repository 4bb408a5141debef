//! The gate around a connection: what it passes is read once, where the kernel or TLS put it, and what it refuses
//! never gets to the parser.
//!
//! ```text
//! open ─ fault in a body ─▶ an error instead of the rest ─ the answer to it, by whoever was asked ─▶ farewell
//!   └─── fault in a head ─▶ the answers under way ─▶ 400 ──────────────────────────────────────────▶ farewell
//! ```
//!
//! The farewell is lingering: a client that still writes would lose the answer to a reset (RFC 9112 §9.6).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::{Error, Framing, fault};
use crate::oci::error::{self, ErrorCode};
use crate::server::activity::{Activity, Busy};
use crate::telemetry::labels::{Label, Limit};
use crate::telemetry::metrics::Metrics;

/// Bytes read at a time of what is thrown away.
const DRAIN: usize = 4 * 1024;

/// `T`, as far as it can be read in one way only.
#[derive(Debug)]
pub(in crate::server) struct Gate<T> {
    inner: T,
    framing: Framing,
    phase: Phase,
    /// Something was written that may not have left.
    unsent: bool,
    activity: Arc<Activity>,
    metrics: Arc<Metrics>,
    /// `limits.drain_bytes`, `timeouts.drain`
    bounds: (u64, Duration),
    client: SocketAddr,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// A fault that nobody has been told of.
    Held(Error),
    /// Nothing is read any more.
    Leaving(Error, Box<Farewell>),
    Over(Error),
}

impl<T> Gate<T> {
    /// Before the first byte. `bounds`: how much is read, and for how long, of what follows a refusal.
    pub(in crate::server) fn new(
        inner: T,
        activity: Arc<Activity>,
        metrics: Arc<Metrics>,
        bounds: (u64, Duration),
        client: SocketAddr,
    ) -> Self {
        let (framing, phase) = (Framing::new(), Phase::Open);
        Self { inner, framing, phase, unsent: false, activity, metrics, bounds, client }
    }

    /// Leaves, with this to say; the refusal is counted and logged here.
    fn leave(&mut self, error: Error, last: Vec<u8>) {
        let fault = error.fault().as_str();
        self.metrics.malformed(error.fault());
        tracing::debug!(client = %self.client, fault, %error, "a request was refused for its framing");
        let farewell = Farewell::new(last, self.bounds, self.activity.busy());
        self.phase = Phase::Leaving(error, Box::new(farewell));
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Gate<T> {
    /// Reads, and gives what of it can be passed.
    fn poll_open(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.framing.is_undecided() {
            // Nothing is read that might be of either protocol.
            let switched = ready!(self.activity.poll_decided(cx));
            self.framing.decide(switched);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if let Err(refused) = self.framing.feed(fresh, |_| ()) {
            buf.set_filled(before.saturating_add(refused.passed));
            self.phase = Phase::Held(refused.error);
        }
        Poll::Ready(Ok(()))
    }

    /// A fault in a body goes up at once: whoever reads that body must not think that more of it comes. One in a head
    /// waits for the answers to what came before it.
    fn poll_held(&mut self, error: Error, cx: &mut Context<'_>) -> Poll<()> {
        let last = match error {
            Error::Body(_) => Vec::new(),
            Error::Head(_) => {
                ready!(self.activity.poll_answered(self.framing.heads(), cx));
                if self.unsent {
                    // `poll_flush` wakes.
                    return Poll::Pending;
                }
                refusal(error)
            }
        };
        self.leave(error, last);
        Poll::Ready(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.phase {
                Phase::Open => {
                    let before = buf.filled().len();
                    ready!(this.poll_open(cx, buf))?;
                    // To read nothing would be the end of the stream.
                    if matches!(this.phase, Phase::Open) || buf.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                Phase::Held(error) => {
                    let error = *error;
                    ready!(this.poll_held(error, cx));
                }
                Phase::Leaving(error @ Error::Body(_), _) => return Poll::Ready(Err(invalid(*error))),
                Phase::Leaving(error @ Error::Head(_), farewell) => {
                    let error = *error;
                    if let Some(limit) = ready!(farewell.poll(&mut this.inner, cx)) {
                        this.metrics.limit_hit(limit);
                    }
                    this.phase = Phase::Over(error);
                }
                Phase::Over(error) => return Poll::Ready(Err(invalid(*error))),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.unsent = true;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has written all it has.
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        if std::mem::take(&mut self.unsent) && matches!(self.phase, Phase::Held(_)) {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Phase::Leaving(error, farewell) = &mut this.phase {
            let error = *error;
            if let Some(limit) = ready!(farewell.poll(&mut this.inner, cx)) {
                this.metrics.limit_hit(limit);
            }
            this.phase = Phase::Over(error);
        }
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unsent = true;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

/// The last words to a client, and the patience to let it read them.
#[derive(Debug)]
struct Farewell {
    last: Vec<u8>,
    written: usize,
    is_shut: bool,
    left: u64,
    /// Set when the farewell begins: an answer may stand between the refusal and it.
    timer: Option<Pin<Box<Sleep>>>,
    time: Duration,
    /// The connection does not count as quiet meanwhile.
    _busy: Busy,
}

impl Farewell {
    fn new(last: Vec<u8>, (left, time): (u64, Duration), busy: Busy) -> Self {
        Self { last, written: 0, is_shut: false, left, timer: None, time, _busy: busy }
    }

    /// Writes, shuts down, reads and throws away; to the end, a failure or a bound, which is then given.
    fn poll<T: AsyncRead + AsyncWrite + Unpin>(&mut self, io: &mut T, cx: &mut Context<'_>) -> Poll<Option<Limit>> {
        let time = self.time;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        if timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Limit::DrainTime));
        }
        // A client that is gone needs no farewell.
        match ready!(self.poll_through(io, cx)) {
            Ok(limit) => Poll::Ready(limit),
            Err(_) => Poll::Ready(None),
        }
    }

    fn poll_through<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Limit>>> {
        while let Some(rest) = self.last.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        if !self.is_shut {
            ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        let mut buffer = [0; DRAIN];
        loop {
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer))?;
            let read = buffer.filled().len() as u64;
            match self.left.checked_sub(read) {
                _ if read == 0 => return Poll::Ready(Ok(None)),
                Some(left) => self.left = left,
                None => return Poll::Ready(Ok(Some(Limit::DrainBytes))),
            }
        }
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A registry's error (OCI distribution-spec, «Error codes»), and that nothing follows it.
fn refusal(error: Error) -> Vec<u8> {
    let body = error::body(ErrorCode::Unknown, fault::words(error.fault()), &[]);
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

#[cfg(test)]
mod tests;
