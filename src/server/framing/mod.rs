//! The framing gate: it follows the messages of an HTTP/1 connection, and stops at the first byte that two parsers could
//! read differently (RFC 9112 §11.2).
//!
//! ```text
//! ┌▶ start line ─▶ fields ─┬─ no body ──────────────────────────────┬─▶ end ─┬──────────────┐
//! │                        ├─ Content-Length ─▶ counted ────────────┤        │              ▼
//! │                        └─ chunked ─▶ size ─▶ data ─▶ … trailers ┘        │     asked for an upgrade
//! └──────────────────────────────────────────────────────────────────────────┘   101: over │ else: next
//! ```
//!
//! [`Framing`] is pure: bytes in, what they mean out. `h1` asks it where a head ends and what of a body is content, and
//! makes requests of heads that it has passed. It must never be more lenient than a parser of heads, and never look at a
//! byte again after it refused one.

mod chunked;
mod fault;
mod fields;
mod scan;
mod start_line;

use std::slice::Iter;

use chunked::Chunked;
use fields::Fields;
use start_line::StartLine;

use crate::telemetry::labels::Fault;

/// Where in a connection's messages the next byte stands.
#[derive(Clone, Debug)]
pub struct Framing {
    state: State,
    start: StartLine,
    fields: Fields,
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
    /// Behind a message of which that has not been told.
    Ended,
    /// Behind a request for another protocol that is not answered yet.
    Undecided,
    /// Behind the byte that was refused.
    Refused(Error),
}

/// What the bytes mean, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A head is complete.
    Head(Length),
    /// So many bytes of a body's content.
    Data(u64),
    /// What follows, up to the end, is trailers.
    Trailers,
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

    /// A few words on it.
    #[must_use]
    pub fn words(self) -> &'static str {
        fault::words(self.fault())
    }
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
        Self { state: State::Start, start: StartLine::new(), fields: Fields::new() }
    }

    /// Takes bytes until there is something to tell, which the last of them mean; none: all are taken, and more are needed.
    /// However a stream is cut into calls, the outcome is the same.
    ///
    /// # Errors
    /// What is wrong with the byte that was taken last. Every later call refuses its first byte for the same reason.
    pub fn step(&mut self, rest: &mut Iter<'_, u8>) -> Result<Option<Event>, Error> {
        let stepped = self.advance(rest);
        if let Err(error) = stepped {
            self.state = State::Refused(error);
        }
        stepped
    }

    /// Whether a message has ended of which that has not been told.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether the message whose head has come asks for another protocol.
    #[must_use]
    pub fn asks_to_switch(&self) -> bool {
        self.start.is_connect() || self.fields.upgrade
    }

    /// Whether the connection may speak another protocol, and what the next byte is rests on the answer to the last request,
    /// which asked for that.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        matches!(self.state, State::Undecided)
    }

    /// The answer to a request for another protocol was not 101.
    pub fn stay(&mut self) {
        if self.is_undecided() {
            self.state = State::Start;
        }
    }

    fn advance(&mut self, rest: &mut Iter<'_, u8>) -> Result<Option<Event>, Error> {
        loop {
            if let State::Ended = self.state {
                self.end();
                return Ok(Some(Event::End));
            }
            if rest.as_slice().is_empty() {
                return Ok(None);
            }
            match &mut self.state {
                State::Start => {
                    if self.start.advance(rest).map_err(Error::Head)? {
                        self.fields = Fields::new();
                        self.state = State::Fields;
                    }
                }
                State::Fields => {
                    if self.fields.advance(rest, false).map_err(Error::Head)? {
                        return self.head().map(Some);
                    }
                }
                State::Counted(left) => {
                    let taken = scan::take(rest, *left);
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::Ended;
                    }
                    return Ok(Some(Event::Data(taken)));
                }
                State::Chunked(chunked) => match chunked.advance(rest, &mut self.fields).map_err(Error::Body)? {
                    Some(Event::End) => self.state = State::Ended,
                    other => return Ok(other),
                },
                State::Undecided => {
                    rest.next();
                    return Err(Error::Head(Fault::Upgrade));
                }
                State::Refused(error) => {
                    rest.next();
                    return Err(*error);
                }
                State::Ended => {}
            }
        }
    }

    /// The line feed that ends a head: what follows it (RFC 9112 §6.3).
    fn head(&mut self) -> Result<Event, Error> {
        let length = self.fields.length(self.start.is_old()).map_err(Error::Head)?;
        self.state = match length {
            Length::Counted(0) => State::Ended,
            Length::Counted(length) => State::Counted(length),
            Length::Chunked => State::Chunked(Chunked::new()),
        };
        Ok(Event::Head(length))
    }

    fn end(&mut self) {
        self.state = if self.asks_to_switch() { State::Undecided } else { State::Start };
        self.start = StartLine::new();
    }
}

/// How a body's length is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// It is known; 0: there is none.
    Counted(u64),
    /// By its chunks.
    Chunked,
}

#[cfg(test)]
mod tests;
