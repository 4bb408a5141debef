//! A request on its way out.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::TRAILER;
use http::{HeaderValue, Method, Request};
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::{Fault, head};
use crate::base::body::Body;
use crate::base::parts::{PARTS, poll_write_parts};

/// What is left of a request.
pub struct Sending {
    /// Whether it is a HEAD, whose answer has no body.
    to_head: bool,
    head: Option<Bytes>,
    /// The trailers that its head promised.
    promised: Vec<HeaderValue>,
    /// What goes behind the last part of a body in chunks: the last chunk, and the trailers once they came.
    end: Bytes,
    /// What is still to come.
    body: Option<Body>,
    framing: Framing,
    /// Parts of the body that are to be written together, and their bytes.
    gathered: Vec<Bytes>,
    size: usize,
    /// What is being written.
    output: VecDeque<Bytes>,
    written: bool,
    is_flushed: bool,
}

/// Without its bytes: they hold a credential.
impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("framing", &self.framing)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// How the body's length is told (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, or nothing more of it.
    None,
    /// With Content-Length; this much is left.
    Counted(u64),
    /// In chunks.
    Chunked,
}

impl Sending {
    /// This request, for this host unless it names one itself. How its length is told is for its body to say.
    pub fn new(host: &str, request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let framing = match body.size_hint().exact() {
            Some(0) => Framing::None,
            Some(length) => Framing::Counted(length),
            None => Framing::Chunked,
        };
        let head = head::encode(host, &parts, framing);
        // What was said to be empty is, once it has ended.
        let framing = if framing == Framing::None && !body.is_end_stream() { Framing::Counted(0) } else { framing };
        let body = (framing != Framing::None).then_some(body);
        let promised = parts.headers.get_all(TRAILER).iter().cloned().collect();
        Self { to_head: parts.method == Method::HEAD, head: Some(head), promised, body, framing, ..Self::done() }
    }

    /// Nothing to send.
    pub(super) fn done() -> Self {
        Self {
            to_head: false,
            head: None,
            promised: Vec::new(),
            end: Bytes::from_static(b"0\r\n\r\n"),
            body: None,
            framing: Framing::None,
            gathered: Vec::new(),
            size: 0,
            output: VecDeque::new(),
            written: false,
            is_flushed: true,
        }
    }

    /// Whether it is a HEAD.
    pub(super) fn is_to_head(&self) -> bool {
        self.to_head
    }

    /// Whether the peer may have seen a byte of it.
    pub(super) fn has_written(&self) -> bool {
        self.written
    }

    /// Whether all of it is out.
    pub(super) fn is_done(&self) -> bool {
        let is_written = self.head.is_none() && self.gathered.is_empty() && self.output.is_empty() && self.is_flushed;
        is_written && self.body.is_none()
    }

    /// Whether the peer would take what was gathered for the whole request while the client may still send more, or
    /// take it back: over HTTP/2 a body's end comes behind its last byte (RFC 9113 §8.1.1).
    fn is_held(&self) -> bool {
        self.body.is_some() && self.framing == Framing::Counted(0)
    }

    /// Leaves the rest unsent.
    pub(super) fn give_up(&mut self) {
        *self = Self { to_head: self.to_head, written: self.written, ..Self::done() };
    }

    /// Writes what there is; ready when all is out.
    ///
    /// # Errors
    /// [`Fault::Body`] and [`Fault::Length`], after which the connection must be closed; [`Fault::Io`].
    pub(super) fn poll<T: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut T,
        most: usize,
    ) -> Poll<Result<(), Fault>> {
        loop {
            if self.output.is_empty() {
                let before = self.size;
                let is_waiting = self.gather(cx, most)?.is_pending();
                if is_waiting && self.size > before {
                    // Chunks come one at a time, the next one when the client's connection gets its turn: one more turn
                    // for each, and several are one write and, to the registry, one chunk.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if !self.is_held() {
                    self.seal();
                }
                if self.output.is_empty() {
                    if !self.is_flushed {
                        ready!(Pin::new(&mut *io).poll_flush(cx))?;
                        self.is_flushed = true;
                    }
                    return if is_waiting { Poll::Pending } else { Poll::Ready(Ok(())) };
                }
            }
            ready!(self.write(cx, io))?;
        }
    }

    /// Takes from the body until it is enough for a write, and its end with its last byte.
    fn gather(&mut self, cx: &mut Context<'_>, most: usize) -> Result<Poll<()>, Fault> {
        loop {
            let is_enough = self.size > most / 4 * 3 || self.gathered.len() >= PARTS;
            if is_enough && !self.is_held() {
                break;
            }
            let Some(body) = &mut self.body else { break };
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(Err(error))) => return Err(Fault::Body(error)),
                Poll::Ready(Some(Ok(frame))) => {
                    let is_end = body.is_end_stream();
                    match frame.into_data() {
                        Ok(data) => self.take(data)?,
                        Err(frame) => {
                            let trailers = frame.into_trailers().unwrap_or_default();
                            self.end = head::encode_end(&self.promised, &trailers);
                        }
                    }
                    if is_end {
                        self.end()?;
                    }
                }
                Poll::Ready(None) => self.end()?,
            }
        }
        Ok(Poll::Ready(()))
    }

    fn take(&mut self, data: Bytes) -> Result<(), Fault> {
        if let Framing::Counted(left) = &mut self.framing {
            *left = left.checked_sub(data.len() as u64).ok_or(Fault::Length)?;
        }
        if !data.is_empty() {
            self.size += data.len();
            self.gathered.push(data);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        if matches!(self.framing, Framing::Counted(left) if left > 0) {
            return Err(Fault::Length);
        }
        self.body = None;
        Ok(())
    }

    /// What was gathered is to be written, in one chunk.
    fn seal(&mut self) {
        self.output.extend(self.head.take());
        let is_chunked = self.framing == Framing::Chunked;
        if self.size > 0 {
            if is_chunked {
                self.output.push_back(Bytes::from(format!("{:x}\r\n", self.size)));
            }
            self.output.extend(self.gathered.drain(..));
            self.size = 0;
            if is_chunked {
                self.output.push_back(Bytes::from_static(b"\r\n"));
            }
        }
        if is_chunked && self.body.is_none() {
            self.output.push_back(std::mem::take(&mut self.end));
            self.framing = Framing::None;
        }
    }

    fn write<T: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, io: &mut T) -> Poll<io::Result<()>> {
        ready!(poll_write_parts(cx, io, &mut self.output))?;
        self.written = true;
        self.is_flushed = false;
        Poll::Ready(Ok(()))
    }
}
