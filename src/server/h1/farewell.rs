//! The last words to a client, and the patience to let it read them.
//!
//! A connection that is closed over unread bytes is reset, and a reset takes the answer with it (RFC 9112 §9.6): what a
//! client still writes is read and thrown away, within bounds.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::base::parts::poll_write_all;
use crate::oci::error::{self, ErrorCode};
use crate::server::activity::Busy;
use crate::telemetry::labels::Limit;

/// Bytes read at a time of what is thrown away.
const DRAIN: usize = 4 * 1024;
/// RFC 9110 §15.5.9. There is no request, so there is nothing to say about one.
pub(super) const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A registry's error (OCI distribution-spec, «Error codes»), and that nothing follows it.
pub(super) fn refusal(status: &str, words: &str) -> Vec<u8> {
    let body = error::body(ErrorCode::Unknown, words, &[]);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// Says something, and goes.
#[derive(Debug)]
pub(super) struct Farewell {
    last: Bytes,
    is_shut: bool,
    left: u64,
    timer: Pin<Box<Sleep>>,
    /// The connection does not count as quiet meanwhile.
    _busy: Busy,
}

impl Farewell {
    /// These words, and how much is read for how long of what follows.
    pub(super) fn new(last: impl Into<Bytes>, (left, time): (u64, Duration), busy: Busy) -> Self {
        Self { last: last.into(), is_shut: false, left, timer: Box::pin(tokio::time::sleep(time)), _busy: busy }
    }

    /// Everything is said, and the connection shut down.
    pub(super) fn said(bounds: (u64, Duration), busy: Busy) -> Self {
        Self { is_shut: true, ..Self::new(Bytes::new(), bounds, busy) }
    }

    /// Writes, shuts down, reads and throws away; to the end, a failure or a bound, which is then given.
    pub(super) fn poll<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Limit>> {
        if self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Limit::DrainTime));
        }
        // A client that is gone needs no farewell.
        Poll::Ready(ready!(self.poll_through(io, cx)).unwrap_or(None))
    }

    fn poll_through<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Limit>>> {
        ready!(poll_write_all(cx, io, &mut self.last))?;
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
