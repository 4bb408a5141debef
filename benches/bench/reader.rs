//! What load and origin read with, and what their sockets keep: as little as can be for each connection.
//!
//! They run on the machine that is measured, and what they keep for thousands of connections pushes what the proxies
//! use out of the caches that all share. Clients and registries that are elsewhere do not. What is thrown away is
//! therefore read into one buffer for all, and a kernel takes little more of a body than it can send.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::ready;

use anyhow::{Result, ensure};
use bytes::{Buf as _, BytesMut};
use memchr::memmem;
use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// Bytes read at a time.
const PIECE: usize = 256 << 10;
/// Bytes that a socket takes beyond what it can send now (`TCP_NOTSENT_LOWAT`).
const UNSENT: u32 = 256 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
}

/// No waiting for full packets, and little in the kernel that has to wait.
pub(crate) fn prepare(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    Ok(SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?)
}

/// A connection, and what was read of it behind the end of a head or a line.
pub(crate) struct Reader<S> {
    pub(crate) stream: S,
    unused: BytesMut,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, unused: BytesMut::new() }
    }

    /// A head with the empty line that ends it; none where the connection ended before it.
    pub(crate) async fn head(&mut self) -> Result<Option<BytesMut>> {
        self.until(b"\r\n\r\n").await
    }

    /// A line with its end.
    pub(crate) async fn line(&mut self) -> Result<Option<BytesMut>> {
        self.until(b"\n").await
    }

    async fn until(&mut self, end: &[u8]) -> Result<Option<BytesMut>> {
        loop {
            if let Some(place) = memmem::find(&self.unused, end) {
                let found = self.unused.split_to(place + end.len());
                self.let_go();
                return Ok(Some(found));
            }
            let unused = &mut self.unused;
            if read(&mut self.stream, |bytes| unused.extend_from_slice(bytes)).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Throws away `length` bytes.
    pub(crate) async fn skip(&mut self, mut length: u64) -> Result<()> {
        while length > 0 {
            let here = self.some(length).await?;
            ensure!(here > 0, "ended in a body");
            length -= here;
        }
        Ok(())
    }

    /// Throws away at most `most` bytes, as many as there are. Returns how many; none at the end.
    pub(crate) async fn some(&mut self, most: u64) -> Result<u64> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if self.unused.is_empty() {
            let unused = &mut self.unused;
            let next = |bytes: &[u8]| unused.extend_from_slice(bytes.get(most..).unwrap_or_default());
            return Ok(u64::try_from(read(&mut self.stream, next).await?.min(most))?);
        }
        let here = self.unused.len().min(most);
        self.unused.advance(here);
        self.let_go();
        Ok(u64::try_from(here)?)
    }

    /// Keeps no memory for nothing.
    fn let_go(&mut self) {
        if self.unused.is_empty() {
            self.unused = BytesMut::new();
        }
    }
}

/// Reads once and shows what came. Returns how much; nothing at the end.
async fn read(stream: &mut (impl AsyncRead + Unpin), mut see: impl FnMut(&[u8])) -> std::io::Result<usize> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            see(buffer.filled());
            std::task::Poll::Ready(Ok(buffer.filled().len()))
        })
    })
    .await
}
