//! Buffers that a core lends to whoever reads.
//!
//! ```text
//! take ─▶ read ─┬─ nothing came ──▶ back at once
//!               └─▶ Bytes ─ the last of them dropped ─▶ back
//! ```
//!
//! A connection that waits holds none, so that many connections take no more memory than what they carry, and what is
//! read lies in memory that the core has just used: with a buffer for each connection, every read would be to memory
//! that the caches have long forgotten.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Buffers that a core keeps for the next reader.
const KEPT: usize = 8;

thread_local! {
    static STOCK: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// What came of a read.
#[derive(Debug)]
struct Buffer(BytesMut);

impl Buffer {
    /// One with room for so many bytes, the one that was used last if possible.
    fn take(size: usize) -> Self {
        // At the end of a thread its stock may be gone.
        let kept = STOCK.try_with(|stock| stock.borrow_mut().pop()).ok().flatten();
        Self(kept.filter(|kept| kept.capacity() >= size).unwrap_or_else(|| BytesMut::with_capacity(size)))
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.0);
        bytes.clear();
        let _ = STOCK.try_with(|stock| {
            let mut stock = stock.borrow_mut();
            if stock.len() < KEPT {
                stock.push(bytes);
            }
        });
    }
}

/// Reads at most `size` bytes more behind `rest`, and not again when that is half done; how many, 0: the other end has closed.
///
/// What is read pins its buffer, and a buffer of which it is no more than a quarter is not worth that: it is copied then.
/// An error behind it is kept in `failed` for the next read: a socket tells it once, and says afterwards that all is over.
///
/// # Errors
/// The connection's.
pub fn poll_read<T: AsyncRead + Unpin>(
    io: &mut T,
    cx: &mut Context<'_>,
    size: usize,
    rest: &mut Bytes,
    failed: &mut Option<io::Error>,
) -> Poll<io::Result<usize>> {
    if let Some(error) = failed.take() {
        return Poll::Ready(Err(error));
    }
    let mut buffer = Buffer::take(rest.len() + size);
    let bytes = &mut buffer.0;
    bytes.extend_from_slice(rest);
    let mut read = 0;
    while read <= size / 2 {
        match poll_read_buf(Pin::new(&mut *io), cx, &mut bytes.limit(size - read)) {
            Poll::Ready(Ok(more)) if more > 0 => read += more,
            // What came before counts first. An end or a wait will be there again.
            Poll::Ready(Err(error)) if read > 0 => {
                *failed = Some(error);
                break;
            }
            _ if read > 0 => break,
            other => return other,
        }
    }
    *rest = match buffer.as_ref() {
        few if few.len() <= buffer.0.capacity() / 4 => Bytes::copy_from_slice(few),
        _ => Bytes::from_owner(buffer),
    };
    Poll::Ready(Ok(read))
}

#[cfg(test)]
mod tests;
