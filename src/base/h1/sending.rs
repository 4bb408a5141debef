//! A message on its way out.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderValue;
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::fields;
use crate::base::body::{Body, BodyError};
use crate::base::parts::{PARTS, poll_write_parts};

/// What is left of a message.
pub struct Sending {
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

/// Why the rest of it is not sent; the connection must be closed.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// Its body failed.
    #[error("the body broke off: {0}")]
    Body(#[source] BodyError),
    /// Its body is longer or shorter than was said.
    #[error("the body is not of its length")]
    Length,
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
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
pub enum Framing {
    /// There is none, or nothing more of it.
    None,
    /// With Content-Length; this much is left.
    Counted(u64),
    /// In chunks.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

impl Sending {
    /// This head, and behind it this body, of which the head says `framing`. `promised`: the trailers that it names.
    #[must_use]
    pub fn new(head: Bytes, framing: Framing, body: Body, promised: Vec<HeaderValue>) -> Self {
        // What was said to be empty is, once it has ended.
        let framing = if framing == Framing::None && !body.is_end_stream() { Framing::Counted(0) } else { framing };
        let body = (framing != Framing::None).then_some(body);
        Self { head: Some(head), promised, body, framing, ..Self::done() }
    }

    /// Nothing to send.
    #[must_use]
    pub fn done() -> Self {
        Self {
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

    /// Whether the peer may have seen a byte of it.
    #[must_use]
    pub fn has_written(&self) -> bool {
        self.written
    }

    /// Whether all of it is out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let is_written = self.head.is_none() && self.gathered.is_empty() && self.output.is_empty() && self.is_flushed;
        is_written && self.body.is_none()
    }

    /// Whether the peer would take what was gathered for the whole request while the client may still send more, or
    /// take it back: over HTTP/2 a body's end comes behind its last byte (RFC 9113 §8.1.1).
    fn is_held(&self) -> bool {
        self.body.is_some() && self.framing == Framing::Counted(0)
    }

    /// Leaves the rest unsent.
    pub fn give_up(&mut self) {
        *self = Self { written: self.written, ..Self::done() };
    }

    /// Writes what there is; ready when all is out.
    ///
    /// # Errors
    /// [`Unsent`]
    pub fn poll<T: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut T,
        most: usize,
    ) -> Poll<Result<(), Unsent>> {
        loop {
            if self.output.is_empty() {
                // Before more is taken from the body: who does not read holds what was sealed for him, and not also what
                // would be next.
                if !self.is_flushed {
                    ready!(Pin::new(&mut *io).poll_flush(cx))?;
                    self.is_flushed = true;
                }
                let is_waiting = self.gather(cx, most)?.is_pending();
                if !self.is_held() {
                    self.seal();
                }
                if self.output.is_empty() {
                    return if is_waiting { Poll::Pending } else { Poll::Ready(Ok(())) };
                }
            }
            ready!(self.write(cx, io))?;
        }
    }

    /// Takes from the body until it is enough for a write, and its end with its last byte.
    fn gather(&mut self, cx: &mut Context<'_>, most: usize) -> Result<Poll<()>, Unsent> {
        loop {
            let is_enough = self.size > most / 4 * 3 || self.gathered.len() >= PARTS;
            if is_enough && !self.is_held() {
                break;
            }
            let Some(body) = &mut self.body else { break };
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(Err(error))) => return Err(Unsent::Body(error)),
                Poll::Ready(Some(Ok(frame))) => {
                    let is_end = body.is_end_stream();
                    match frame.into_data() {
                        Ok(data) => self.take(data)?,
                        Err(frame) => {
                            let trailers = frame.into_trailers().unwrap_or_default();
                            self.end = fields::last_chunk(&self.promised, &trailers);
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

    fn take(&mut self, data: Bytes) -> Result<(), Unsent> {
        if let Framing::Counted(left) = &mut self.framing {
            *left = left.checked_sub(data.len() as u64).ok_or(Unsent::Length)?;
        }
        if !data.is_empty() {
            self.size += data.len();
            self.gathered.push(data);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Unsent> {
        if matches!(self.framing, Framing::Counted(left) if left > 0) {
            return Err(Unsent::Length);
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

#[cfg(test)]
mod tests;
