//! Small writes, sent together.
//!
//! ```text
//! h2 ─ a write and a flush for each answer ─▶ Gather ─ a write for all answers of a turn ─▶ …
//!                                               ▲ Hold: until the connection has no more to say now
//! ```
//! h2 writes a frame of data before it looks at the next one, and flushes: eight small answers would be eight TLS records, and
//! eight system calls. What is held is handed on before the connection's turn ends, and whatever is beneath is flushed then.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is held: what is larger is worth a write of its own.
const MOST: usize = 8 * 1024;

/// Whether a connection has more to say in this turn.
#[derive(Debug, Default)]
pub(super) struct Hold {
    is_on: AtomicBool,
    /// Something was written that may not be out: what is beneath takes more than it has sent, too.
    owes: AtomicBool,
}

impl Hold {
    /// From now on a flush is none.
    pub(super) fn begin(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// The next flush is one. Whether there is to be one, and has been none since [`Self::begin`].
    pub(super) fn end(&self) -> bool {
        self.is_on.swap(false, Ordering::Relaxed) && self.owes.load(Ordering::Relaxed)
    }
}

/// A connection that sends small writes together.
pub(super) struct Gather<T> {
    inner: T,
    held: BytesMut,
    hold: Arc<Hold>,
}

impl<T: AsyncWrite + Unpin> Gather<T> {
    pub(super) fn new(inner: T, hold: Arc<Hold>) -> Self {
        Self { inner, held: BytesMut::new(), hold }
    }

    /// Sends what is held.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.held.advance(written),
            }
        }
        // A connection that rests keeps no buffer.
        self.held = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gather<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        self.hold.owes.store(true, Ordering::Relaxed);
        if self.held.len() + length <= MOST {
            let room = MOST - self.held.len();
            self.held.reserve(room);
            bufs.iter().for_each(|buf| self.held.extend_from_slice(buf));
            return Poll::Ready(Ok(length));
        }
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hold.is_on.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_held(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.hold.owes.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
