//! The framing gate: it follows the messages of an HTTP/1 connection beneath the parser, and stops at the first byte
//! that two parsers could read differently (RFC 9112 §11.2).
//!
//! ```text
//! ┌▶ start line ─▶ fields ─┬─ no body ──────────────────────────────┬─▶ end ─┬──────────────┐
//! │                        ├─ Content-Length ─▶ counted ────────────┤        │              ▼
//! │                        └─ chunked ─▶ size ─▶ data ─▶ … trailers ┘        │     asked for an upgrade
//! └──────────────────────────────────────────────────────────────────────────┘   101: aside │ else: next
//! ```
//!
//! [`Framing`] is pure: bytes in, what they mean out. `gate` puts it around a connection. The parser above it stays
//! the only one that makes requests; the gate must never change, add or keep a byte, never be more lenient than the
//! parser, and never look at a byte again after it refused one.

mod chunked;
mod fault;
mod fields;
pub(super) mod gate;
mod scan;
mod start_line;

use std::io;
use std::slice::Iter;

use chunked::Chunked;
use fields::Fields;
use start_line::StartLine;

use crate::base::body::Malformed;
use crate::telemetry::labels::Fault;

/// Where in a connection's messages the next byte stands.
#[derive(Clone, Debug)]
pub struct Framing {
    state: State,
    start: StartLine,
    fields: Fields,
    heads: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before or in a start line.
    Start,
    /// In the header section.
    Fields,
    /// In a body with a length: this much is left.
    Counted(u64),
    /// In a chunked body.
    Chunked(Chunked),
    /// Behind a request for another protocol that is not answered yet.
    Undecided,
    /// Another protocol; nothing to follow.
    Aside,
    /// Behind the byte that was refused.
    Refused(Error),
}

/// What the bytes mean, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A head is complete.
    Head,
    /// So many bytes of a body's content.
    Data(u64),
    /// A message is complete.
    End,
}

/// What is wrong with a message, and where in it: nothing of a request with the first has been handed on, while of one
/// with the second its head has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// In its head.
    #[error("the request's head is malformed: {}", fault::words(*.0))]
    Head(Fault),
    /// In its body, or its trailers.
    #[error("the request's body is malformed: {}", fault::words(*.0))]
    Body(Fault),
}

impl Error {
    /// What is wrong.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self {
            Self::Head(fault) | Self::Body(fault) => fault,
        }
    }
}

/// The fault that a body's error comes from, if the gate put it there.
pub(super) fn malformed(error: &(dyn std::error::Error + 'static)) -> Option<Malformed> {
    // hyper's error holds the connection's, and that one ours.
    let cause = error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()?;
    match cause {
        Error::Body(fault) => Some(Malformed(fault::words(*fault))),
        Error::Head(_) => None,
    }
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How many of the bytes given stand before the one that is refused.
    pub passed: usize,
    /// Why.
    pub error: Error,
}

impl Default for Framing {
    fn default() -> Self {
        Self::new()
    }
}

impl Framing {
    /// At the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self { state: State::Start, start: StartLine::new(), fields: Fields::new(), heads: 0 }
    }

    /// Goes on with these bytes, telling what they mean. However a stream is cut into calls, the outcome is the same.
    ///
    /// # Errors
    /// The first byte that is refused. Every later call refuses its first byte for the same reason.
    pub fn feed(&mut self, bytes: &[u8], mut on: impl FnMut(Event)) -> Result<(), Refused> {
        let mut rest = bytes.iter();
        while !rest.as_slice().is_empty() {
            if let Err(error) = self.advance(&mut rest, &mut on) {
                self.state = State::Refused(error);
                // The refused byte has been taken.
                return Err(Refused { passed: bytes.len() - rest.len() - 1, error });
            }
        }
        Ok(())
    }

    /// Complete heads so far.
    #[must_use]
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether what the next byte is rests on the answer to the last request, which asked for another protocol.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        matches!(self.state, State::Undecided)
    }

    /// Whether the connection speaks another protocol.
    #[must_use]
    pub fn is_aside(&self) -> bool {
        matches!(self.state, State::Aside)
    }

    /// The answer to a request for another protocol: whether that was agreed to (101).
    pub fn decide(&mut self, switched: bool) {
        if self.is_undecided() {
            self.state = if switched { State::Aside } else { State::Start };
        }
    }

    /// Takes at least one byte; on a fault the refused byte is the last that was taken.
    fn advance(&mut self, rest: &mut Iter<'_, u8>, on: &mut impl FnMut(Event)) -> Result<(), Error> {
        match &mut self.state {
            State::Start => {
                if self.start.advance(rest).map_err(Error::Head)? {
                    self.fields = Fields::new();
                    self.state = State::Fields;
                }
            }
            State::Fields => {
                if self.fields.advance(rest, false).map_err(Error::Head)? {
                    self.head(on)?;
                }
            }
            State::Counted(left) => {
                let taken = scan::take(rest, *left);
                *left -= taken;
                let ended = *left == 0;
                on(Event::Data(taken));
                if ended {
                    self.end(on);
                }
            }
            State::Chunked(chunked) => {
                if chunked.advance(rest, &mut self.fields, on).map_err(Error::Body)? {
                    self.end(on);
                }
            }
            State::Undecided => {
                rest.next();
                return Err(Error::Head(Fault::Upgrade));
            }
            State::Aside => *rest = [].iter(),
            State::Refused(error) => {
                rest.next();
                return Err(*error);
            }
        }
        Ok(())
    }

    /// The line feed that ends a head: what follows it (RFC 9112 §6.3).
    fn head(&mut self, on: &mut impl FnMut(Event)) -> Result<(), Error> {
        let length = self.fields.length(self.start.is_old()).map_err(Error::Head)?;
        self.heads += 1;
        on(Event::Head);
        match length {
            Length::Counted(0) => self.end(on),
            Length::Counted(length) => self.state = State::Counted(length),
            Length::Chunked => self.state = State::Chunked(Chunked::new()),
        }
        Ok(())
    }

    fn end(&mut self, on: &mut impl FnMut(Event)) {
        on(Event::End);
        let switches = self.start.is_connect() || self.fields.upgrade;
        self.start = StartLine::new();
        self.state = if switches { State::Undecided } else { State::Start };
    }
}

/// How a body's length is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// It is known.
    Counted(u64),
    /// By its chunks.
    Chunked,
}

#[cfg(test)]
mod tests;
