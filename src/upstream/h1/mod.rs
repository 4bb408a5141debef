//! One HTTP/1.1 connection to an origin, moved by whoever waits for it.
//!
//! ```text
//! request ─▶ Sending: head, then the body as it comes ─▶ ┐
//!                                                        ├ io: both at once, in the poll of who wants the answer
//! answer  ◀─ head ◀─ Coding: its body ◀─ input         ◀─ ┘
//! ```
//!
//! There is no task for it, and no channel: a request costs no change of task, and what stands still holds one read and
//! one write. It must never hand on a part as the whole, never be used again when it is in doubt where the next answer
//! begins, and never read on for an answer that nobody waits for.

mod coding;
pub mod head;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::coding::Coding;
use self::head::{Outgoing, Scan};
use super::TwoLengths;
use crate::base::body::BodyError;
use crate::base::buffer;
use crate::base::h1::sending::{Sending, Unsent};

/// The largest head of an answer.
const MAX_HEAD: usize = 64 * 1024;
/// Answers of 1xx before the one that counts (RFC 9110 §15.2).
const MAX_INTERIM: u32 = 16;

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The peer closed it.
    #[error("it was closed before an answer came")]
    Closed,
    /// What came is no answer.
    #[error("the answer's head is malformed: {0}")]
    Head(&'static str),
    /// The answer's length can be read in more than one way.
    #[error(transparent)]
    TwoLengths(#[from] TwoLengths),
    /// The answer's chunks are none.
    #[error("the answer's body is malformed: {0}")]
    Chunk(&'static str),
    /// The peer closed it in the middle of the answer.
    #[error("the answer ended before its end")]
    Short,
    /// The request's body failed.
    #[error("the request's body broke off: {0}")]
    Body(#[source] BodyError),
    /// The request's body is longer or shorter than was said.
    #[error("the request's body is not of its length")]
    Length,
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Unsent> for Fault {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Body(error) => Self::Body(error),
            Unsent::Length => Self::Length,
            Unsent::Io(error) => Self::Io(error),
        }
    }
}

/// An answer's head.
#[derive(Debug)]
pub struct Head {
    /// 101, or 200 to 599.
    pub status: StatusCode,
    /// Its fields, in their order; their values share one copy of the head.
    pub headers: HeaderMap,
}

/// A connection, and how far the exchange on it has come.
pub struct Connection<T> {
    io: T,
    /// What was read and not handed on.
    input: Bytes,
    /// What comes behind it.
    broken: Option<io::Error>,
    /// How much is read and written at a time.
    most: usize,
    sending: Sending,
    to_head: bool,
    /// Why the rest of the request was not sent.
    failed: Option<Fault>,
    scan: Scan,
    interim: u32,
    coding: Coding,
    /// The peer closes it after this answer, or the request did not reach it as a whole.
    is_last: bool,
}

/// Without its bytes: an authority's answer is a credential.
impl<T> fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("sending", &self.sending)
            .field("coding", &self.coding)
            .finish_non_exhaustive()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// A new connection, which reads and writes at most so many bytes at a time.
    pub fn new(io: T, most: usize) -> Self {
        Self {
            io,
            input: Bytes::new(),
            broken: None,
            most,
            sending: Sending::done(),
            to_head: false,
            failed: None,
            scan: Scan::default(),
            interim: 0,
            coding: Coding::Over,
            is_last: false,
        }
    }

    /// Begins an exchange.
    pub fn start(&mut self, request: Outgoing) {
        (self.sending, self.to_head) = (request.sending, request.to_head);
        self.failed = None;
        self.scan = Scan::default();
        self.interim = 0;
    }

    /// The request of an exchange that failed, if no byte of it was written.
    pub fn take_unsent(&mut self) -> Option<Outgoing> {
        if self.sending.has_written() {
            return None;
        }
        let sending = std::mem::replace(&mut self.sending, Sending::done());
        Some(Outgoing { sending, to_head: self.to_head })
    }

    /// Whether the peer has neither closed it nor said anything unasked, as far as is known here.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        // Outside of the task's turn, which may be over: a connection that must not be looked at is not a quiet one.
        let read = poll_fn(|cx| Pin::new(&mut self.io).poll_read(cx, &mut ReadBuf::new(&mut byte)));
        let mut read = tokio::task::unconstrained(read);
        let is_quiet = Pin::new(&mut read).poll(&mut Context::from_waker(Waker::noop())).is_pending();
        is_quiet && self.input.is_empty() && self.broken.is_none()
    }

    /// Sends on, and waits for the answer's head. Answers of 1xx are consumed, but for 101.
    ///
    /// # Errors
    /// A [`Fault`]; nothing more is to be had of the connection.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Fault>> {
        self.send(cx)?;
        loop {
            if let Some(parsed) = head::parse(&mut self.input, &mut self.scan)? {
                let status = parsed.head.status;
                if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                    self.interim += 1;
                    if self.interim > MAX_INTERIM {
                        return Poll::Ready(Err(Fault::Head("too many answers of 1xx")));
                    }
                    continue;
                }
                self.coding = Coding::of(&parsed.head, parsed.is_old, self.to_head)?;
                let switches = status == StatusCode::SWITCHING_PROTOCOLS;
                if switches && !self.sending.is_done() {
                    return Poll::Ready(Err(Fault::Head("it switches protocols in the middle of a request")));
                }
                self.is_last |= switches || parsed.is_last || matches!(self.coding, Coding::UntilClose);
                return Poll::Ready(Ok(parsed.head));
            }
            if self.input.len() >= MAX_HEAD {
                return Poll::Ready(Err(Fault::Head("it is too long")));
            }
            match buffer::poll_read(&mut self.io, cx, self.most, &mut self.input, &mut self.broken) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Fault::Closed)),
                // It is no answer to a request of which nothing was written.
                Poll::Ready(Ok(_)) if !self.sending.has_written() => return Poll::Ready(Err(Fault::Closed)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                // Before the wait: an answer that is there counts more than why it could not be asked for to the end.
                Poll::Pending => return self.failed.take().map_or(Poll::Pending, |fault| Poll::Ready(Err(fault))),
            }
        }
    }

    /// The next part of the answer's body; the request's goes on being sent meanwhile.
    ///
    /// # Errors
    /// A [`Fault`]; nothing more is to be had of the connection.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Err(fault) = self.send(cx) {
            return Poll::Ready(Some(Err(fault)));
        }
        loop {
            match self.coding.next(&mut self.input) {
                Ok(None) if self.coding.is_over() => return Poll::Ready(None),
                Ok(None) => {}
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
            let room = match self.coding {
                Coding::Counted(left) => usize::try_from(left).unwrap_or(usize::MAX).min(self.most),
                _ => self.most,
            };
            let read = buffer::poll_read(&mut self.io, cx, room, &mut self.input, &mut self.broken);
            let Poll::Ready(filled) = read else {
                // As with the head, what is there of the answer counts first.
                return self.failed.take().map_or(Poll::Pending, |fault| Poll::Ready(Some(Err(fault))));
            };
            match filled {
                Ok(0) if matches!(self.coding, Coding::UntilClose) => self.coding = Coding::Over,
                Ok(0) => return Poll::Ready(Some(Err(Fault::Short))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    /// Whether the answer has been handed on as a whole.
    pub fn is_over(&self) -> bool {
        self.coding.is_over()
    }

    /// Bytes of the answer's body that are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self.coding {
            Coding::Counted(left) => Some(left),
            Coding::Over => Some(0),
            Coding::Chunked(_) | Coding::UntilClose => None,
        }
    }

    /// The body, if all of it is here already, as it is where there is none: it need not be waited for.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        let left = usize::try_from(self.left()?).ok().filter(|left| *left <= self.input.len())?;
        self.coding = Coding::Over;
        Some(self.input.split_to(left))
    }

    /// Whether it is ready for the next exchange, and the peer certainly is too.
    pub fn finish(&self) -> bool {
        self.coding.is_over() && self.sending.is_done() && self.input.is_empty() && !self.is_last
    }

    /// The connection itself, and what the peer has said on it since the answer's head.
    pub fn into_parts(self) -> (T, Bytes) {
        (self.io, self.input)
    }

    /// Sends what can be sent. What ends the sending of a request that the peer has seen some of does not end the wait
    /// for its answer, which may be on its way; a peer that answered early may read no more.
    ///
    /// # Errors
    /// A [`Fault`] before a byte was written.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if self.sending.is_done() {
            return Ok(());
        }
        let Poll::Ready(Err(fault)) = self.sending.poll(cx, &mut self.io, self.most) else { return Ok(()) };
        let fault = Fault::from(fault);
        if !self.sending.has_written() {
            return Err(fault);
        }
        self.sending.give_up();
        self.is_last = true;
        let has_hung_up = matches!(&fault, Fault::Io(error) if is_hang_up(error.kind()));
        // One that hung up will be found to have closed the connection, behind what it may have said before.
        self.failed = (!has_hung_up).then_some(fault);
        Ok(())
    }
}

fn is_hang_up(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted)
}

#[cfg(test)]
mod tests;
