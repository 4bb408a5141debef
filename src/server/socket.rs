//! A client's socket: what a PROXY header was followed by comes first, and no connection keeps its worker to itself.
//!
//! A body between a fast registry and a fast client never has to wait, and would go on for as long as both keep up. tokio
//! makes a task give way after so many operations, whatever each of them moved; here it counts bytes too. Whoever
//! gives way goes on after every other task that is ready and after a look at all sockets: a small request waits for
//! one turn of each transfer, not for transfers.
//!
//! Over HTTP/2 one task reads and writes, and reads first: a client that never stops sending would use up each turn before
//! its answers are written. Of what could not be written in one turn, one write therefore goes in the next, whatever is left
//! of that.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

/// Bytes that count as one more operation. A task has 128 of them to a turn, which makes half a MiB, well under a
/// millisecond of a core. A quarter of it made nobody wait less.
const OPERATION: usize = 4 * 1024;

/// `inner`, with the bytes before it that were read and not used.
#[derive(Debug)]
pub struct Socket<I> {
    inner: I,
    unread: Bytes,
    late: Late,
}

/// Whether a write found nothing left of its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    No,
    /// In this turn.
    Refused,
    /// In one before: there was something left of a turn since.
    Due,
}

impl<I> Socket<I> {
    /// A connection of which nothing was read.
    pub(super) fn new(inner: I) -> Self {
        Self::after(Bytes::new(), inner)
    }

    /// A connection of which `unread` was read too much.
    pub(super) fn after(unread: Bytes, inner: I) -> Self {
        Self { inner, unread, late: Late::No }
    }

    /// What was refused in another turn is due in this one.
    fn look_at_turn(&mut self) {
        if self.late == Late::Refused && coop::has_budget_remaining() {
            self.late = Late::Due;
        }
    }
}

/// Takes what `bytes` cost from the turn of the task that moved them. Outside of a runtime's tasks nothing is counted.
fn spend(cx: &mut Context<'_>, bytes: usize) {
    for _ in 0..bytes / OPERATION {
        // Asked once nothing is left, it would wake the task for what it has not been refused yet.
        if !coop::has_budget_remaining() {
            return;
        }
        if let Poll::Ready(operation) = coop::poll_proceed(cx) {
            operation.made_progress();
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Socket<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.look_at_turn();
        if self.unread.is_empty() {
            let before = buf.filled().len();
            let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
            spend(cx, buf.filled().len() - before);
            return polled;
        }
        let count = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> Socket<I> {
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(Pin<&mut I>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.look_at_turn();
        let is_due = self.late == Late::Due && !coop::has_budget_remaining();
        let mut write = poll_fn(|cx| write(Pin::new(&mut self.inner), cx));
        if is_due {
            self.late = Late::No;
            return pin!(coop::unconstrained(write)).poll(cx);
        }
        let polled = Pin::new(&mut write).poll(cx);
        match &polled {
            Poll::Ready(Ok(bytes)) => {
                self.late = Late::No;
                spend(cx, *bytes);
            }
            // One that waits for the client spends nothing.
            Poll::Pending if !coop::has_budget_remaining() => self.late = Late::Refused,
            _ => {}
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Socket<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |inner, cx| inner.poll_write(cx, buf))
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
        self.poll_written(cx, |inner, cx| inner.poll_write_vectored(cx, bufs))
    }
}

#[cfg(test)]
mod tests;
