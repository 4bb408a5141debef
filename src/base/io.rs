//! A connection that ends when its other end stops reading.
//!
//! Nothing beneath it has a deadline on writing: a peer that keeps a connection open but reads nothing would hold a transfer
//! for ever. The timer starts when a write cannot go on and stops with the next byte that can.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes that a socket takes beyond what it can send now (`TCP_NOTSENT_LOWAT`): without it the kernel takes what its
/// buffers can grow to, megabytes for each transfer to a peer that reads slowly.
pub const UNSENT: u32 = 256 * 1024;

/// Has a connection between two processes of one machine send as it can. Where the system paces (BBR without a queue that
/// does it), a timer for every few packets costs more than the transfer, and there is no line to be spared
/// (docs/performance.md). Reno is the one algorithm that every process may choose; where it may not, all is as it was.
pub fn spare_pacing(socket: &SockRef<'_>, peer: IpAddr) {
    if peer.to_canonical().is_loopback() {
        let _ = socket.set_tcp_congestion(b"reno");
    }
}

/// How long the other end may keep what is sent to it waiting.
#[derive(Debug)]
pub struct Stall {
    idle: Duration,
    /// Since the first wait: most that is sent never has one.
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Stall {
    /// At most `idle` at a time.
    pub fn new(idle: Duration) -> Self {
        Self { idle, timer: None, waits: false }
    }

    /// It went on: the next wait is another.
    pub fn went_on(&mut self) {
        self.waits = false;
    }

    /// It cannot go on. Ready when that has been so for too long.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        if !self.waits {
            self.waits = true;
            timer.as_mut().reset(Instant::now() + idle);
        }
        timer.as_mut().poll(cx)
    }
}

/// `inner`, failing with [`io::ErrorKind::TimedOut`] once a write made no progress for `idle`.
#[derive(Debug)]
pub struct WriteIdle<T> {
    inner: T,
    stall: Stall,
}

impl<T> WriteIdle<T> {
    /// Guards `inner`.
    pub fn new(inner: T, idle: Duration) -> Self {
        Self { inner, stall: Stall::new(idle) }
    }

    /// What it guards.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// What it guarded.
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn watch<R>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.stall.went_on();
            return outcome;
        }
        ready!(self.stall.poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other end reads nothing")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteIdle<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteIdle<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch(cx, outcome)
    }
}

#[cfg(test)]
mod tests;
