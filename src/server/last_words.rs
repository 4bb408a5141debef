//! What is said to a client that did not get as far as a request.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::{Read, ReadBuf, Write};

/// RFC 9110 §15.5.9. There is no request, so there is nothing to say about one.
const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// How long a client has to take them. It gets no time to say more: it had its time.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers 408 and closes. What still arrives is read for a moment: a connection closed over unread bytes is reset,
/// and a reset takes the answer with it (RFC 9112 §9.6).
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub(super) async fn request_timeout<I: Read + Write + Unpin>(io: I) {
    // Whether they were heard changes nothing.
    let _ = tokio::time::timeout(PATIENCE, say(io, REQUEST_TIMEOUT)).await;
}

async fn say<I: Read + Write + Unpin>(mut io: I, mut words: &[u8]) -> std::io::Result<()> {
    poll_fn(|cx| {
        while !words.is_empty() {
            let written = std::task::ready!(Pin::new(&mut io).poll_write(cx, words))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            words = words.get(written..).unwrap_or_default();
        }
        Pin::new(&mut io).poll_flush(cx)
    })
    .await?;
    poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await?;
    let mut unheard = [0; 1024];
    loop {
        let mut buf = ReadBuf::new(&mut unheard);
        poll_fn(|cx| Pin::new(&mut io).poll_read(cx, buf.unfilled())).await?;
        if buf.filled().is_empty() {
            return Ok(());
        }
    }
}
