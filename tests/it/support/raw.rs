//! A client that writes and reads bytes: what no well-behaved client would send, and what came, to the byte.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Door, encrypted};
use super::soon;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An HTTP/1.1 connection in bytes.
pub(crate) struct Raw {
    stream: Box<dyn Stream>,
    /// Read and not yet taken.
    buffer: Vec<u8>,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) text: String,
}

impl Head {
    pub(crate) fn status(&self) -> u16 {
        self.text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.text.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Raw {
    pub(crate) async fn open(address: SocketAddr, door: Door) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let stream: Box<dyn Stream> = match door {
            Door::Plain => Box::new(stream),
            Door::Tls1 => Box::new(encrypted(stream, b"http/1.1").await),
            Door::Tls2 => panic!("HTTP/2 is no text"),
        };
        Self { stream, buffer: Vec::new() }
    }

    /// Writes all of it, as fast as it is taken.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        soon(async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// The next head, an interim one as well.
    pub(crate) async fn head(&mut self) -> Head {
        let bytes = soon(async {
            loop {
                if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                    break self.buffer.drain(..at + 4).collect();
                }
                assert_ne!(self.stream.read_buf(&mut self.buffer).await.unwrap(), 0, "it ended before the head did");
            }
        })
        .await;
        Head { text: String::from_utf8(bytes).unwrap() }
    }

    /// The next `length` bytes.
    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        soon(async {
            while self.buffer.len() < length {
                assert_ne!(self.stream.read_buf(&mut self.buffer).await.unwrap(), 0, "it ended early");
            }
            self.buffer.drain(..length).collect()
        })
        .await
    }

    /// The status of the next answer; none when the connection ends without one.
    pub(crate) async fn status(&mut self) -> Option<u16> {
        soon(async {
            loop {
                if self.buffer.windows(4).any(|window| window == b"\r\n\r\n") {
                    return Some(self.head().await.status());
                }
                // A reset is an end as well.
                if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        })
        .await
    }

    /// What comes until the connection ends.
    pub(crate) async fn rest(&mut self) -> String {
        soon(async {
            while self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) > 0 {}
            String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
        })
        .await
    }
}
