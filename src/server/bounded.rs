//! Reads of a bounded size.
//!
//! hyper doubles its read buffer whenever a read fills it, up to the bound that a request's head may need, and every
//! part of a body that waits for a slow registry pins one such buffer. A read that cannot fill the buffer keeps it
//! small, while heads may still grow to their own bound.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

/// Just too little to fill hyper's buffer of 32 KiB.
pub(super) const PLAIN: u64 = 32 * 1024 - 1;
/// A TLS record (RFC 8446 §5.1), so that none is handed over in two parts; hyper's buffer stays at twice that.
pub(super) const RECORD: u64 = 16 * 1024;

/// `T`, giving at most so many bytes at a time.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    inner: Take<T>,
    read: u64,
}

impl<T: AsyncRead> Bounded<T> {
    /// At most `read` bytes of `inner` at a time.
    pub(super) fn new(inner: T, read: u64) -> Self {
        Self { inner: inner.take(read), read }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Bounded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // `Take` counts down over all reads and says end of stream at zero; here every read begins anew.
        let read = self.read;
        self.inner.set_limit(read);
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Bounded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.inner.get_mut()).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.get_ref().is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.inner.get_mut()).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests;
