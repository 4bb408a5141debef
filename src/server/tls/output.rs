//! Records on their way out.

use std::collections::VecDeque;
use std::io::{self, Cursor};
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::base::parts::poll_write_parts;

/// What the queue of a connection that rests may have room for.
const KEPT: usize = 16;

/// Sealed records, in their order.
#[derive(Debug, Default)]
pub(super) struct Output(VecDeque<Cursor<Vec<u8>>>);

impl Output {
    /// Adds a record at the end.
    pub(super) fn push(&mut self, record: Vec<u8>) {
        self.0.push_back(Cursor::new(record));
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// What the socket says.
    pub(super) fn poll_write_to<I: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut I,
    ) -> Poll<io::Result<()>> {
        while !self.0.is_empty() {
            ready!(poll_write_parts(cx, io, &mut self.0))?;
        }
        // A queue that has carried a transfer is not kept by a connection that rests.
        if self.0.capacity() > KEPT {
            self.0 = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }
}
