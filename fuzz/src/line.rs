//! A peer at the other end of a connection, from its words alone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// It has its words, and takes whatever is written to it.
pub(crate) struct Line {
    words: Vec<u8>,
    said: usize,
    at_once: usize,
    /// Whether anything was written to it, without which it says nothing; a client need not be asked.
    asked: bool,
    /// Whether it closes the connection behind its words, or waits.
    closes: bool,
}

impl Line {
    /// A client that has sent all of this and waits.
    pub(crate) fn client(words: &[u8]) -> Self {
        Self { words: words.to_vec(), said: 0, at_once: usize::MAX, asked: true, closes: false }
    }

    /// A server that says all of this once it is asked, so many bytes at a time, and closes the connection.
    pub(crate) fn server(words: &[u8], at_once: usize) -> Self {
        Self { words: words.to_vec(), said: 0, at_once, asked: false, closes: true }
    }

    /// Bytes it has not said.
    pub(crate) fn left(&self) -> usize {
        self.words.len() - self.said
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = self.words.get(self.said..).unwrap_or_default();
        let count = rest.len().min(buf.remaining()).min(self.at_once);
        if !self.asked || (count == 0 && !self.closes) {
            return Poll::Pending;
        }
        buf.put_slice(rest.get(..count).unwrap_or_default());
        self.said += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.asked = true;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
