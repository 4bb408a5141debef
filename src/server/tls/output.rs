//! Records on their way out.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Records that are written at once.
const PARTS: usize = 16;

/// Sealed records, in their order.
#[derive(Debug, Default)]
pub(super) struct Output {
    records: VecDeque<Vec<u8>>,
    /// What of the first one is out.
    written: usize,
}

impl Output {
    /// Adds a record at the end.
    pub(super) fn push(&mut self, record: Vec<u8>) {
        self.records.push_back(record);
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
        while let Some(first) = self.records.front() {
            let first = first.get(self.written..).unwrap_or_default();
            let io = Pin::new(&mut *io);
            let written = if self.records.len() == 1 {
                ready!(io.poll_write(cx, first))?
            } else {
                let mut parts = [IoSlice::new(&[]); PARTS];
                let all = std::iter::once(first).chain(self.records.iter().skip(1).map(Vec::as_slice));
                for (part, record) in parts.iter_mut().zip(all) {
                    *part = IoSlice::new(record);
                }
                let count = self.records.len().min(PARTS);
                ready!(io.poll_write_vectored(cx, parts.get(..count).unwrap_or_default()))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        // A queue that has carried a transfer is not kept by a connection that rests.
        if self.records.capacity() > PARTS {
            self.records = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        self.written += written;
        while let Some(first) = self.records.front() {
            if self.written < first.len() {
                return;
            }
            self.written -= first.len();
            self.records.pop_front();
        }
    }
}
