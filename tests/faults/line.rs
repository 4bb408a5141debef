//! A client that does exactly what it is told, byte by byte, and says exactly what it heard.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const PIECE: usize = 64 << 10;

/// A connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    heard: Vec<u8>,
}

/// What came back for a request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The body came to the end that its framing promised.
    pub(crate) whole: bool,
    pub(crate) took: Duration,
}

/// How waiting for an answer ended.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    Answer(Reply),
    /// The connection ended first.
    Closed(Duration),
    /// Nothing in time.
    Silence,
}

impl Heard {
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(reply) => Some(reply.status),
            Self::Closed(_) | Self::Silence => None,
        }
    }

    /// True for what a client takes for success: a status below 400 with its body whole.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Answer(reply) if reply.status < 400 && reply.whole)
    }

    /// In a table's few words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Answer(reply) if reply.whole => format!("{} after {:.1} s", reply.status, reply.took.as_secs_f64()),
            Self::Answer(reply) => {
                format!("{} cut after {} bytes, {:.1} s", reply.status, reply.body.len(), reply.took.as_secs_f64())
            }
            Self::Closed(after) => format!("connection closed after {:.1} s", after.as_secs_f64()),
            Self::Silence => "silence".to_owned(),
        }
    }

    pub(crate) fn reply(self) -> Result<Reply> {
        match self {
            Self::Answer(reply) => Ok(reply),
            other => anyhow::bail!("no answer: {}", other.words()),
        }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the body is an error as registries write it.
    pub(crate) fn is_oci_error(&self) -> bool {
        let errors = serde_json::from_slice::<serde_json::Value>(&self.body).ok();
        errors.is_some_and(|body| body.pointer("/errors/0/code").is_some_and(serde_json::Value::is_string))
    }
}

impl Line {
    pub(crate) async fn to(address: SocketAddr) -> Result<Self> {
        let stream = timeout(Duration::from_secs(5), TcpStream::connect(address)).await.context("no connection")??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, heard: Vec::new() })
    }

    /// Its own port.
    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Sends `length` zeros, or as many as it can until the deadline or an error: how many went.
    pub(crate) async fn pour(&mut self, length: usize, deadline: Duration) -> usize {
        let (piece, end) = (vec![0; PIECE], Instant::now() + deadline);
        let mut sent = 0;
        while sent < length {
            let next = piece.get(..PIECE.min(length - sent)).unwrap_or_default();
            let written = tokio::time::timeout_at(end, self.stream.write(next)).await;
            let Ok(Ok(written @ 1..)) = written else { break };
            sent += written;
        }
        sent
    }

    /// Sends so many zeros and looks for an answer all the while; over when one begins, or the connection has ended: how many
    /// went.
    pub(crate) async fn pour_until_told(&mut self, mut length: usize) -> usize {
        let (piece, mut room) = (vec![0; PIECE], vec![0; PIECE]);
        let mut sent = 0;
        loop {
            let next = piece.get(..PIECE.min(length - sent)).unwrap_or_default();
            let wanted = if next.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            let Ok(ready) = self.stream.ready(wanted).await else { return sent };
            if ready.is_readable() {
                match self.stream.try_read(&mut room) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    read => {
                        self.heard.extend(room.iter().take(read.unwrap_or_default()));
                        return sent;
                    }
                }
            }
            if ready.is_writable() && !next.is_empty() {
                match self.stream.try_write(next) {
                    Ok(written) => sent += written,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    // What cannot be sent any more may have been answered all the same.
                    Err(_) => length = sent,
                }
            }
        }
    }

    /// Reads and throws away so many bytes, fewer if the connection ends.
    pub(crate) async fn sip(&mut self, length: usize) -> Result<usize> {
        let mut piece = vec![0; PIECE];
        let mut read = 0;
        while read < length {
            let wanted = piece.get_mut(..PIECE.min(length - read)).context("within the piece")?;
            match self.stream.read(wanted).await? {
                0 => break,
                some => read += some,
            }
        }
        Ok(read)
    }

    /// Status and length of an answer whose body is read with [`Self::some`].
    pub(crate) async fn begun(&mut self) -> Option<(u16, Option<usize>)> {
        let (status, headers) = self.head().await?;
        let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        Some((status, length.and_then(|(_, length)| length.parse().ok())))
    }

    /// What has come of a body, at least a byte; none when the connection has ended.
    pub(crate) async fn some(&mut self) -> Option<Vec<u8>> {
        if self.heard.is_empty() && !self.more().await {
            return None;
        }
        Some(std::mem::take(&mut self.heard))
    }

    /// The answer to the last request, which was not HEAD.
    pub(crate) async fn hear(&mut self, deadline: Duration) -> Heard {
        let begun = Instant::now();
        match timeout(deadline, self.answer(begun)).await {
            Ok(Some(reply)) => Heard::Answer(reply),
            Ok(None) => Heard::Closed(begun.elapsed()),
            Err(_) => Heard::Silence,
        }
    }

    async fn answer(&mut self, begun: Instant) -> Option<Reply> {
        loop {
            let (status, headers) = self.head().await?;
            if (100..200).contains(&status) {
                continue;
            }
            let mut reply = Reply { status, headers, body: Vec::new(), whole: false, took: begun.elapsed() };
            reply.whole = match (reply.header("transfer-encoding"), reply.header("content-length")) {
                (Some(_), _) => self.chunks(&mut reply.body).await,
                (None, Some(length)) => {
                    let length = length.parse().ok()?;
                    self.exactly(length, &mut reply.body).await
                }
                (None, None) => {
                    while self.more().await {}
                    reply.body = std::mem::take(&mut self.heard);
                    true
                }
            };
            return Some(reply);
        }
    }

    async fn head(&mut self) -> Option<(u16, Vec<(String, String)>)> {
        let end = self.until(b"\r\n\r\n").await?;
        let head = String::from_utf8_lossy(&end).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        Some((status, headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()))
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let Some(line) = self.until(b"\r\n").await else { return false };
            let size = String::from_utf8_lossy(&line).trim().to_owned();
            let Ok(size) = usize::from_str_radix(&size, 16) else { return false };
            if !self.exactly(size, body).await || self.until(b"\r\n").await.is_none() {
                return false;
            }
            if size == 0 {
                return true;
            }
        }
    }

    async fn exactly(&mut self, length: usize, body: &mut Vec<u8>) -> bool {
        while self.heard.len() < length {
            if !self.more().await {
                body.append(&mut self.heard);
                return false;
            }
        }
        body.extend(self.heard.drain(..length));
        true
    }

    /// Everything up to and with `end`.
    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.heard.windows(end.len()).position(|window| window == end) {
                return Some(self.heard.drain(..at + end.len()).collect());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        let mut piece = vec![0; PIECE];
        match self.stream.read(&mut piece).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.heard.extend(piece.iter().take(read));
                true
            }
        }
    }
}

/// A request's head, up to and with the empty line.
pub(crate) fn head(method: &str, target: &str, host: SocketAddr, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}
