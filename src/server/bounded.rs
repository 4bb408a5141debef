//! Reads of a bounded size, on a connection without TLS.
//!
//! hyper doubles its read buffer whenever a read fills it, up to the bound that a request's head may need, and every part
//! of a body that waits for a slow registry pins one such buffer: a read that cannot fill it keeps it at what a read takes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

/// `T`, giving at most so many bytes at a time.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    inner: Take<T>,
    most: usize,
}

impl<T: AsyncRead> Bounded<T> {
    /// Bounds the reads of `inner` to `most` bytes.
    pub(super) fn new(inner: T, most: usize) -> Self {
        Self { inner: inner.take(0), most }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Bounded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // `Take` counts down over all reads and says end of stream at zero; here every read begins anew.
        let most = self.most as u64;
        self.inner.set_limit(most);
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
