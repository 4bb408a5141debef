//! HTTP/2 frames, counted beneath the crate that speaks it.
//!
//! h2 bounds resets, CONTINUATION and empty DATA, and takes any number of SETTINGS, PING, WINDOW_UPDATE and
//! PRIORITY frames, each of which costs it work or an answer (RFC 9113 §10.5). This looks at nothing but the nine bytes
//! each frame begins with, in both directions, and changes none:
//!
//! ```text
//! client ─▶ TLS ─▶ Frames ─▶ h2         a frame too many: GOAWAY (ENHANCE_YOUR_CALM), and the end
//!                    Budget
//! client ◀─ TLS ◀─ Frames ◀─ h2         refused streams and h2's own ENHANCE_YOUR_CALM are counted
//! ```

mod budget;
mod reader;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use self::budget::{Budget, Spent};
use self::reader::{DATA, GOAWAY, HEADERS, RST_STREAM, Reader};
use super::pulse::Heard;
use crate::telemetry::labels::{Fault, Limit};
use crate::telemetry::metrics::Metrics;

/// `NO_ERROR` (RFC 9113 §7).
const NO_ERROR: u32 = 0x0;
/// `REFUSED_STREAM` (RFC 9113 §7).
const REFUSED_STREAM: u32 = 0x7;
/// `ENHANCE_YOUR_CALM` (RFC 9113 §7).
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// The connection sent more frames than its work and its time earned.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many control frames")]
pub(super) struct Flood;

/// An HTTP/2 connection's bytes on their way.
#[derive(Debug)]
pub(super) struct Frames<T> {
    inner: T,
    metrics: Arc<Metrics>,
    heard: Arc<Heard>,
    client: Reader,
    server: Reader,
    budget: Budget,
    /// The last stream the client opened.
    last: u32,
    /// The last stream whose answer was begun.
    answered: u32,
    flooded: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Frames<T> {
    /// Counts from the connection's first byte.
    pub(super) fn new(inner: T, metrics: Arc<Metrics>, heard: Arc<Heard>) -> Self {
        let budget = Budget::new(Instant::now());
        let (client, server) = (Reader::of_client(), Reader::of_server());
        Self { inner, metrics, heard, client, server, budget, last: 0, answered: 0, flooded: false }
    }

    /// What the client sent. Whether it may go on is in `flooded`.
    fn received(&mut self, bytes: &[u8]) {
        self.heard.came(bytes.len());
        let Self { client, budget, last, flooded, .. } = self;
        client.read(bytes, |frame| {
            if frame.kind == HEADERS {
                *last = frame.stream.max(*last);
            }
            *flooded |= budget.came(frame, Instant::now) == Err(Spent);
        });
    }

    /// What h2 sent.
    fn sent(&mut self, bytes: &[u8]) {
        let Self { server, budget, metrics, answered, heard, .. } = self;
        server.read(bytes, |frame| match (frame.kind, frame.code) {
            (DATA, _) => {
                budget.carried(u64::from(frame.length));
                heard.answered(frame.length);
            }
            (HEADERS, _) => *answered = frame.stream,
            // It answers 431 to a head that is too large, and then refuses what comes after it.
            (RST_STREAM, Some(REFUSED_STREAM)) if frame.stream == *answered => metrics.limit_hit(Limit::HeaderBytes),
            (RST_STREAM, Some(REFUSED_STREAM)) => metrics.limit_hit(Limit::H2Streams),
            (GOAWAY, Some(ENHANCE_YOUR_CALM)) => metrics.limit_hit(Limit::H2Frames),
            (GOAWAY, Some(NO_ERROR)) => {}
            (GOAWAY, Some(_)) => metrics.malformed(Fault::Http2),
            _ => {}
        });
    }

    /// Says good-bye where that can be done at once: the client is one that does not listen.
    fn leave(&mut self, cx: &mut Context<'_>) -> io::Error {
        self.metrics.limit_hit(Limit::H2Frames);
        if self.server.is_between_frames() {
            let mut frame = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let payload = self.last.to_be_bytes().into_iter().chain(ENHANCE_YOUR_CALM.to_be_bytes());
            for (to, from) in frame.iter_mut().skip(9).zip(payload) {
                *to = from;
            }
            let _ = Pin::new(&mut self.inner).poll_write(cx, &frame);
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
        io::Error::new(io::ErrorKind::QuotaExceeded, Flood)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Frames<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        this.received(buf.filled().get(before..).unwrap_or_default());
        if this.flooded {
            buf.set_filled(before);
            return Poll::Ready(Err(this.leave(cx)));
        }
        polled
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Frames<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = polled {
            self.sent(buf.get(..written).unwrap_or(buf));
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(mut written)) = polled {
            for buf in bufs {
                let part = buf.get(..written).unwrap_or(buf);
                written -= part.len();
                self.sent(part);
            }
        }
        polled
    }
}

#[cfg(test)]
mod tests;
