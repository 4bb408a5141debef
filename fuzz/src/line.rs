//! A peer at the other end of a connection, from its words alone.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Has the HTTP library's server read what a client sends, and `hear` each request that it hands out.
pub(crate) fn serve_by_library(bytes: &[u8], hear: impl AsyncFn(Request<Incoming>)) {
    let service = service_fn(async |request| {
        hear(request).await;
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(1 << 20);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Line::client(bytes)), service));
    // It yields now and then; what it can do without more bytes, it has done after so many turns.
    for _ in 0..64 {
        if let Poll::Ready(_ended) = connection.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break;
        }
    }
}

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

/// A connection whose two ends are in one hand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Rc<RefCell<Ways>>);

#[derive(Debug, Default)]
struct Ways {
    sent: VecDeque<u8>,
    heard: Vec<u8>,
    /// The most that one read gives.
    at_once: usize,
    is_cut: bool,
}

impl Wire {
    /// The near end is given so many bytes at a time.
    pub(crate) fn new(at_once: usize) -> Self {
        Self(Rc::new(RefCell::new(Ways { at_once, ..Ways::default() })))
    }

    /// Sends from the far end.
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.0.borrow_mut().sent.extend(bytes);
    }

    /// The far end is closed.
    pub(crate) fn cut(&self) {
        self.0.borrow_mut().is_cut = true;
    }

    /// What arrived at the far end.
    pub(crate) fn hear(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().heard)
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut ways = self.0.borrow_mut();
        let count = ways.sent.len().min(buf.remaining()).min(ways.at_once);
        if count == 0 && !ways.is_cut {
            return Poll::Pending;
        }
        buf.put_slice(&ways.sent.drain(..count).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().heard.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
