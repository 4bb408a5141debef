//! A connection's bytes: heads and bodies as they are wanted, and nothing read that nobody waits for.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Bounds;
use crate::base::body::{BodyError, Malformed};
use crate::base::buffer;
use crate::base::h1::fields;
use crate::base::parts::poll_write_all;
use crate::server::framing::{Error, Event, Framing, Length};
use crate::telemetry::labels::Fault;

/// RFC 9110 §15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How the client's side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Between messages, or in a head.
    Head,
    /// In a body.
    Body,
    /// In its trailers.
    Trailers,
    /// The message is complete; the next one waits for the answer.
    Over,
    /// Nobody reads the body to its end.
    Left,
    /// The client went in the middle of a message.
    Gone,
    /// What followed is refused.
    Refused(Error),
}

/// A head, and what its framing says of it.
#[derive(Debug)]
pub(super) struct Head {
    /// All of it, with its empty line.
    pub(super) lines: Bytes,
    /// What follows it.
    pub(super) length: Length,
    /// It asks for another protocol.
    pub(super) switches: bool,
}

/// Why no further head came.
#[derive(Debug)]
pub(super) enum NoHead {
    /// The client has closed the connection behind a message.
    End,
    /// It is longer than it may be.
    TooLong,
    /// It can be read in more than one way.
    Refused(Error),
    /// The connection failed.
    Io(io::Error),
}

/// A connection, and what was read of it.
#[derive(Debug)]
pub(super) struct Wire<T> {
    io: T,
    framing: Framing,
    /// Read, and not looked at.
    rest: Bytes,
    /// What comes behind it.
    failed: Option<io::Error>,
    /// What has come of a head, or of trailers.
    lines: BytesMut,
    reading: Reading,
    /// The client waits to be asked for its body.
    waits: bool,
    /// What is still to be written of that.
    asking: Bytes,
    /// The connection's task, when it waits for the body to be over.
    waker: Option<Waker>,
    bounds: Bounds,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    pub(super) fn new(io: T, bounds: Bounds) -> Self {
        Self {
            io,
            framing: Framing::new(),
            rest: Bytes::new(),
            failed: None,
            lines: BytesMut::new(),
            reading: Reading::Head,
            waits: false,
            asking: Bytes::new(),
            waker: None,
            bounds,
        }
    }

    pub(super) fn io(&mut self) -> &mut T {
        &mut self.io
    }

    pub(super) fn reading(&self) -> Reading {
        self.reading
    }

    /// Whether a head has begun; an empty line before it is none of it (RFC 9112 §2.2).
    pub(super) fn has_begun(&self) -> bool {
        !b"\r\n".starts_with(&self.lines)
    }

    /// Whether the client waits to be asked for its body.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// A whole head.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, NoHead>> {
        loop {
            let (event, taken) = self.step().map_err(NoHead::Refused)?;
            if self.lines.len() + taken.len() > self.bounds.header_bytes {
                return Poll::Ready(Err(NoHead::TooLong));
            }
            if let Some(Event::Head(length)) = event {
                self.reading = Reading::Body;
                let switches = self.framing.asks_to_switch();
                self.end_if_complete();
                return Poll::Ready(Ok(Head { lines: self.take_lines(&taken), length, switches }));
            }
            self.lines.extend_from_slice(&taken);
            match ready!(self.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) if self.lines.is_empty() => return Poll::Ready(Err(NoHead::End)),
                Ok(false) => return Poll::Ready(Err(NoHead::Io(io::ErrorKind::UnexpectedEof.into()))),
                Err(error) => return Poll::Ready(Err(NoHead::Io(error))),
            }
        }
    }

    /// The client has to be asked for its body (RFC 9110 §10.1.1), by whoever reads it first.
    pub(super) fn wait_to_be_asked(&mut self) {
        self.waits = self.reading == Reading::Body;
    }

    /// The next part of the body, or its trailers.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match self.reading {
                Reading::Body | Reading::Trailers => {}
                Reading::Over => return Poll::Ready(None),
                Reading::Refused(error) => return Poll::Ready(Some(Err(Malformed(error.words()).into()))),
                Reading::Head | Reading::Left | Reading::Gone => return Poll::Ready(Some(Err(gone().into()))),
            }
            match self.step() {
                Err(error) => self.refuse(error),
                Ok((Some(Event::Data(length)), mut taken)) => {
                    self.end_if_complete();
                    // What was taken before it are the lines of its chunk.
                    let length = usize::try_from(length).unwrap_or(usize::MAX).min(taken.len());
                    return Poll::Ready(Some(Ok(Frame::data(taken.split_off(taken.len() - length)))));
                }
                Ok((Some(Event::Trailers), _)) => self.reading = Reading::Trailers,
                Ok((Some(Event::End), taken)) => {
                    let lines = self.take_lines(&taken);
                    match fields::trailers(&lines) {
                        Ok(trailers) if lines.len() <= self.bounds.header_bytes => {
                            self.end();
                            return Poll::Ready((!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers))));
                        }
                        _ => self.refuse(Error::Body(Fault::Trailer)),
                    }
                }
                Ok((_, taken)) => {
                    if self.reading == Reading::Trailers {
                        self.lines.extend_from_slice(&taken);
                        if self.lines.len() > self.bounds.header_bytes {
                            self.refuse(Error::Body(Fault::Trailer));
                            continue;
                        }
                    }
                    match ready!(self.poll_fill(cx)) {
                        Ok(true) => {}
                        Ok(false) => self.go(),
                        Err(error) => {
                            self.go();
                            return Poll::Ready(Some(Err(error.into())));
                        }
                    }
                }
            }
        }
    }

    /// Ready when the client is gone that waits for an answer, or seems to: one that only shuts its writing side down
    /// (RFC 9293 §3.6) looks the same; no client of a registry does that. What it says meanwhile is kept.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        match self.reading {
            Reading::Over if self.rest.is_empty() && !self.framing.is_undecided() => match ready!(self.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(gone()),
                Err(error) => return Poll::Ready(error),
            },
            // Whoever reads the body tells when it is over.
            Reading::Body | Reading::Trailers => match &mut self.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            },
            _ => {}
        }
        Poll::Pending
    }

    /// The body is not read to its end.
    pub(super) fn leave_body(&mut self) {
        if matches!(self.reading, Reading::Body | Reading::Trailers) {
            self.reading = Reading::Left;
            self.wake();
        }
    }

    /// Writes what was begun before the answer. The client is not asked for its body any more.
    pub(super) fn poll_asked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waits = false;
        poll_write_all(cx, &mut self.io, &mut self.asking)
    }

    /// The message is answered: goes on to the next one.
    pub(super) fn next(&mut self) {
        self.framing.stay();
        self.reading = Reading::Head;
    }

    /// Whether the client said more than it may before its request for another protocol was answered.
    pub(super) fn is_hasty(&self) -> bool {
        self.framing.is_undecided() && !self.rest.is_empty()
    }

    /// Whether the client says more, behind what was the last: closed over it, the connection would be reset, and the answer
    /// lost with it (RFC 9112 §9.6).
    pub(super) fn has_more(&mut self, cx: &mut Context<'_>) -> bool {
        !self.rest.is_empty() || matches!(self.poll_fill(cx), Poll::Ready(Ok(true)))
    }

    /// What the next bytes of `rest` mean, and these bytes.
    fn step(&mut self) -> Result<(Option<Event>, Bytes), Error> {
        let mut left = self.rest.iter();
        let event = self.framing.step(&mut left)?;
        let taken = self.rest.len() - left.len();
        Ok((event, self.rest.split_to(taken)))
    }

    /// The lines so far and these, which are the last.
    fn take_lines(&mut self, last: &Bytes) -> Bytes {
        if self.lines.is_empty() {
            // Not the buffer they were read to, which would be held as long as any of their fields.
            return Bytes::copy_from_slice(last);
        }
        self.lines.extend_from_slice(last);
        mem::take(&mut self.lines).freeze()
    }

    /// A body with a length has ended with its last byte.
    fn end_if_complete(&mut self) {
        if self.framing.has_ended() && matches!(self.framing.step(&mut [].iter()), Ok(Some(Event::End))) {
            self.end();
        }
    }

    fn end(&mut self) {
        self.reading = Reading::Over;
        // It came unasked.
        self.waits = false;
        self.wake();
    }

    fn go(&mut self) {
        self.reading = Reading::Gone;
        self.wake();
    }

    fn refuse(&mut self, error: Error) {
        self.reading = Reading::Refused(error);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Reads more; false: the client has closed.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if mem::take(&mut self.waits) {
            self.asking = Bytes::from_static(CONTINUE);
        }
        if !self.asking.is_empty() {
            ready!(self.poll_asked(cx))?;
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        }
        // Nothing is left of what was read before, whose buffer this may be.
        self.rest = Bytes::new();
        let size = if self.reading == Reading::Body { self.bounds.read } else { self.bounds.first };
        Poll::Ready(Ok(ready!(buffer::poll_read(&mut self.io, cx, size, &mut self.rest, &mut self.failed))? > 0))
    }
}

fn gone() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// A connection that its task and the reader of a body share; also what is left of it when it speaks another protocol.
#[derive(Debug)]
pub(super) struct Shared<T>(Arc<Mutex<Wire<T>>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    pub(super) fn new(wire: Wire<T>) -> Self {
        Self(Arc::new(Mutex::new(wire)))
    }

    /// Not to be held while anything is polled that may read the body.
    pub(super) fn lock(&self) -> MutexGuard<'_, Wire<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Shared<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.lock().io()).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Shared<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.lock().io()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.lock().io()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.lock().io()).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.lock().io()).poll_write_vectored(cx, bufs)
    }
}
