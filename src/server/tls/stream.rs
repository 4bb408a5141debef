//! A connection's bytes in clear.
//!
//! ```text
//! socket ─▶ the reader's own buffer: records, opened there and moved together      room for more than one of them
//!        └▶ input ─▶ plain ─▶ the reader's buffer                                  less room, and all of TLS 1.2
//! ```
//!
//! A body costs the fewest turns and writes when as much as possible of it is read at once, and TLS gives a record at
//! a time: as many are gathered as the reader may be given. A connection that rests keeps no buffer.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::crypto::cipher::OutboundChunks;
use rustls::{AlertDescription, Error};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::output::Output;
use super::records::{self, MAX_PLAIN, MAX_RECORD, Opened, Records};
use super::session::{Buffers, Progress, Session};

/// Parts of a message that are sealed together.
const PARTS: usize = 64;
/// A reader that has, and wants, this much room is read to directly.
const DIRECT: usize = 2 * MAX_PLAIN;

/// What leads a session.
enum Lead {
    Session(Box<Session>),
    Records(Box<Records>),
}

/// What was found in what was read.
#[derive(PartialEq, Eq)]
enum Found {
    /// A record, and perhaps another behind it.
    Record,
    /// Too little for one.
    Part,
    /// The client sends no more.
    End,
}

impl Lead {
    /// Opens what is there. What `buf` has no room for goes to `plain`.
    fn open(&mut self, buffers: &mut Buffers, buf: &mut ReadBuf<'_>) -> Result<Found, Error> {
        let records = match self {
            Self::Records(records) => records,
            Self::Session(session) => {
                let progress = session.advance(buffers)?;
                return Ok(match progress {
                    Progress::Ended => Found::End,
                    _ if buffers.plain.is_empty() => Found::Part,
                    _ => Found::Record,
                });
            }
        };
        let Some((length, opened)) = records.open(&mut buffers.input, 0, 0)? else { return Ok(Found::Part) };
        let found = match opened {
            Opened::Data(data) => {
                let data = buffers.input.get(..data).unwrap_or_default();
                let (now, later) = data.split_at(data.len().min(buf.remaining()));
                buf.put_slice(now);
                buffers.plain.extend_from_slice(later);
                Found::Record
            }
            Opened::Nothing => Found::Record,
            Opened::End => Found::End,
        };
        buffers.input.advance(length);
        Ok(found)
    }

    fn seal(&mut self, data: OutboundChunks<'_>, buffers: &mut Buffers) -> Result<(), Error> {
        match self {
            Self::Session(session) => session.seal(&data, buffers),
            Self::Records(records) => records.seal(data, &mut buffers.output),
        }
    }

    fn close(&mut self, buffers: &mut Buffers) -> Result<(), Error> {
        match self {
            Self::Session(session) => session.close(buffers),
            Self::Records(records) => records.seal_alert(AlertDescription::CloseNotify, &mut buffers.output),
        }
    }

    /// Has the client told why this is the end. A session has said it already.
    fn complain(&mut self, error: &Error, output: &mut Output) {
        if let Self::Records(records) = self
            && let Some(alert) = records::alert(error)
        {
            // The error that ends it is the first one.
            let _ = records.seal_alert(alert, output);
        }
    }
}

/// A connection over `I`, after its handshake.
pub struct Stream<I> {
    io: I,
    lead: Lead,
    buffers: Buffers,
    /// A read ends when it has gathered so much, and no more is sealed before it is written.
    most: usize,
    /// How the client's side has ended.
    ended: Option<Result<(), Error>>,
    /// We send no more.
    is_closed: bool,
}

/// Without its keys and its bytes.
impl<I> fmt::Debug for Stream<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("ended", &self.ended).field("is_closed", &self.is_closed).finish_non_exhaustive()
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Stream<I> {
    /// Goes on with a session whose handshake is over, and gathers so many bytes for a read.
    ///
    /// # Errors
    /// The session cannot go on.
    pub(super) fn new(io: I, session: Session, buffers: Buffers, most: usize) -> Result<Self, Error> {
        let lead = match session.into_tls13() {
            Ok(session) => Lead::Records(Box::new(Records::after(session)?)),
            Err(session) => Lead::Session(session),
        };
        Ok(Self { io, lead, buffers, most, ended: None, is_closed: false })
    }

    /// Reads more of a record, or, where `buf` has room for several, opens them there.
    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { io, lead, buffers: Buffers { input, .. }, most, ended, .. } = self;
        let Lead::Records(records) = lead else { return poll_part(cx, io, input) };
        if buf.remaining() < DIRECT || *most < DIRECT {
            return poll_part(cx, io, input);
        }
        let start = buf.filled().len();
        buf.put_slice(input);
        let begun = buf.filled().len();
        // The reader's buffer may be larger than what it is to hold.
        let wanted = records::sealed_length(*most).saturating_sub(input.len());
        let polled = Pin::new(&mut io.take(wanted as u64)).poll_read(cx, buf);
        if buf.filled().len() == begun {
            buf.set_filled(start);
            ready!(polled)?;
            return Poll::Ready(Err(cut_off()));
        }
        let bytes = buf.filled_mut().get_mut(start..).unwrap_or_default();
        let opened = records.open_all(bytes);
        input.clear();
        input.extend_from_slice(bytes.get(opened.used..).unwrap_or_default());
        buf.set_filled(start + opened.data);
        *ended = opened.ended;
        Poll::Ready(Ok(()))
    }

    /// Says why it is over to a client that may listen.
    fn fail(&mut self, cx: &mut Context<'_>, error: &Error) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.lead.complain(error, &mut self.buffers.output);
            let _ = self.buffers.output.poll_write_to(cx, &mut self.io);
        }
    }
}

/// Reads on to a record.
fn poll_part<I: AsyncRead + Unpin>(cx: &mut Context<'_>, io: &mut I, input: &mut BytesMut) -> Poll<io::Result<()>> {
    input.reserve(MAX_RECORD.saturating_sub(input.len()));
    match ready!(poll_read_buf(Pin::new(io), cx, input))? {
        0 => Poll::Ready(Err(cut_off())),
        _ => Poll::Ready(Ok(())),
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let start = buf.filled().len();
        let end = start.saturating_add(this.most.min(buf.remaining()));
        let polled = loop {
            let plain = &mut this.buffers.plain;
            let count = plain.len().min(buf.remaining());
            buf.put_slice(&plain.split_to(count));
            if buf.filled().len() >= end {
                break Poll::Ready(Ok(()));
            }
            match &this.ended {
                // What was sent before it counts first.
                Some(_) if buf.filled().len() > start => break Poll::Ready(Ok(())),
                Some(Ok(())) => break Poll::Ready(Ok(())),
                Some(Err(error)) => {
                    let error = error.clone();
                    this.fail(cx, &error);
                    break Poll::Ready(Err(invalid(error)));
                }
                None => {}
            }
            match this.lead.open(&mut this.buffers, buf) {
                Ok(Found::Record) => {}
                Ok(Found::End) => this.ended = Some(Ok(())),
                Err(error) => this.ended = Some(Err(error)),
                Ok(Found::Part) => match this.poll_more(cx, buf) {
                    Poll::Ready(Ok(())) => {}
                    // What came before a wait or an error counts first; they will be there again.
                    _ if buf.filled().len() > start => break Poll::Ready(Ok(())),
                    other => break other,
                },
            }
        };
        for rest in [&mut this.buffers.input, &mut this.buffers.plain] {
            if rest.is_empty() {
                *rest = BytesMut::new();
            }
        }
        polled
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, lead, buffers, most, ended, is_closed } = &mut *self;
        if *is_closed || matches!(ended, Some(Err(_))) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(buffers.output.poll_write_to(cx, io))?;
        let mut parts: [&[u8]; PARTS] = [&[]; PARTS];
        for (part, buf) in parts.iter_mut().zip(bufs) {
            *part = buf;
        }
        let data = OutboundChunks::new(parts.get(..bufs.len().min(PARTS)).unwrap_or_default());
        let (now, _) = data.split_at(*most);
        let length = now.len();
        lead.seal(now, buffers).map_err(invalid)?;
        // It is taken, whether or not it is out: what follows waits for it.
        match buffers.output.poll_write_to(cx, io) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(length)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, buffers, .. } = &mut *self;
        ready!(buffers.output.poll_write_to(cx, io))?;
        Pin::new(io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, lead, buffers, is_closed, .. } = &mut *self;
        if !std::mem::replace(is_closed, true) {
            lead.close(buffers).map_err(invalid)?;
        }
        ready!(buffers.output.poll_write_to(cx, io))?;
        Pin::new(io).poll_shutdown(cx)
    }
}

/// As rustls tells it of a connection that ended without the alert that says so (RFC 8446 §6.1): what was sent may not
/// be all of it.
fn cut_off() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

pub(super) fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
