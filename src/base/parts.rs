//! Several parts of a message as one write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Parts that are written at once.
pub const PARTS: usize = 64;

/// Writes from the front of `parts`, and takes off what was written.
///
/// # Errors
/// What the socket says; [`io::ErrorKind::WriteZero`] if it takes nothing.
pub fn poll_write_parts<W: AsyncWrite + Unpin, B: Buf>(
    cx: &mut Context<'_>,
    io: &mut W,
    parts: &mut VecDeque<B>,
) -> Poll<io::Result<()>> {
    let io = Pin::new(io);
    let mut written = match parts.front() {
        Some(only) if parts.len() == 1 => ready!(io.poll_write(cx, only.chunk()))?,
        _ => {
            let mut slices = [IoSlice::new(&[]); PARTS];
            for (slice, part) in slices.iter_mut().zip(&*parts) {
                *slice = IoSlice::new(part.chunk());
            }
            let count = parts.len().min(PARTS);
            ready!(io.poll_write_vectored(cx, slices.get(..count).unwrap_or_default()))?
        }
    };
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    while let Some(first) = parts.front_mut() {
        if written < first.remaining() {
            first.advance(written);
            break;
        }
        written -= first.remaining();
        parts.pop_front();
    }
    Poll::Ready(Ok(()))
}

/// Writes all of `rest`, and takes off what was written.
///
/// # Errors
/// What the socket says; [`io::ErrorKind::WriteZero`] if it takes nothing.
pub fn poll_write_all<W: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    io: &mut W,
    rest: &mut Bytes,
) -> Poll<io::Result<()>> {
    while !rest.is_empty() {
        match ready!(Pin::new(&mut *io).poll_write(cx, rest))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => rest.advance(written),
        }
    }
    Poll::Ready(Ok(()))
}
