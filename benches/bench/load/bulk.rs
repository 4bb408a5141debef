//! Large bodies, both ways, several at a time.

use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};

use super::every;
use super::h1::Connection;
use crate::origin::digest;
use crate::tokens::REPOSITORY;

/// What Go's `io.Copy` hands over at a time, and with it docker, containerd and podman.
pub(super) const PIECE: usize = 32 << 10;
pub(super) static ZEROS: [u8; PIECE] = [0; PIECE];

/// How the body of a push is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length,
    Chunked,
}

/// Pulls a blob of so many bytes on every connection, all at a time.
pub(crate) async fn pull(connections: Vec<Connection>, bytes: u64) -> Result<Vec<Connection>> {
    every(connections, async move |connection| pull_one(connection, bytes).await).await
}

/// Pulls a blob of so many bytes.
pub(crate) async fn pull_one(connection: &mut Connection, bytes: u64) -> Result<()> {
    let answer = connection.get(&format!("/v2/{REPOSITORY}/blobs/{}", digest(bytes))).await?;
    ensure!(answer.status == 200 && answer.length == bytes, "a pull: {answer:?}");
    Ok(())
}

/// An upload that was begun: the connection and where its body goes.
pub(crate) struct Upload {
    pub(crate) connection: Connection,
    pub(crate) location: String,
}

impl Upload {
    async fn head(&mut self, bytes: u64, framing: Framing) -> Result<()> {
        let framed = match framing {
            Framing::Length => format!("Content-Length: {bytes}\r\n"),
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        };
        let more = format!("Content-Type: application/octet-stream\r\n{framed}");
        let head = self.connection.head("PATCH", &self.location, &more);
        self.connection.send(head.as_bytes()).await
    }
}

/// Begins an upload on every connection.
pub(crate) async fn begin(connections: Vec<Connection>) -> Result<Vec<Upload>> {
    let mut uploads = Vec::new();
    for mut connection in connections {
        let head = connection.head("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), "Content-Length: 0\r\n");
        connection.send(head.as_bytes()).await?;
        let answer = connection.answer().await?;
        ensure!(answer.status == 202, "POST: {answer:?}");
        let location = answer.location.context("no Location")?;
        uploads.push(Upload { location: origin_form(&location).to_owned(), connection });
    }
    Ok(uploads)
}

/// An absolute Location as the target of a request (RFC 9112 §3.2.1).
pub(super) fn origin_form(location: &str) -> &str {
    let rest = location.split_once("://").map(|(_, rest)| rest);
    rest.and_then(|rest| rest.get(rest.find('/')?..)).unwrap_or(location)
}

/// Sends a part of so many bytes of every upload, all at a time.
pub(crate) async fn push(uploads: Vec<Upload>, bytes: u64, framing: Framing) -> Result<Vec<Upload>> {
    every(uploads, async move |upload| push_one(upload, bytes, framing).await).await
}

/// Sends a part of so many bytes.
pub(crate) async fn push_one(upload: &mut Upload, bytes: u64, framing: Framing) -> Result<()> {
    upload.head(bytes, framing).await?;
    body(&mut upload.connection, bytes, framing).await?;
    let answer = upload.connection.answer().await?;
    ensure!(answer.status == 202, "PATCH: {answer:?}");
    let location = answer.location.context("no Location")?;
    upload.location = origin_form(&location).to_owned();
    Ok(())
}

/// Announces bodies of `announced` bytes, and sends `sent` of each.
pub(crate) async fn begin_bodies(mut uploads: Vec<Upload>, announced: u64, sent: u64) -> Result<Vec<Upload>> {
    for upload in &mut uploads {
        upload.head(announced, Framing::Length).await?;
        body(&mut upload.connection, sent, Framing::Length).await?;
    }
    Ok(uploads)
}

async fn body(connection: &mut Connection, bytes: u64, framing: Framing) -> Result<()> {
    // One of each for all: a piece of its own for every connection is memory that only fills caches.
    static CHUNK: LazyLock<Vec<u8>> = LazyLock::new(|| [format!("{PIECE:x}\r\n").as_bytes(), &ZEROS, b"\r\n"].concat());
    let piece: &[u8] = match framing {
        Framing::Length => &ZEROS,
        Framing::Chunked => &CHUNK,
    };
    let whole = u64::try_from(PIECE)?;
    for _ in 0..bytes / whole {
        connection.send(piece).await?;
    }
    let rest = usize::try_from(bytes % whole)?;
    if rest > 0 {
        let rest = ZEROS.get(..rest).unwrap_or(&ZEROS);
        let last = match framing {
            Framing::Length => rest.to_vec(),
            Framing::Chunked => [format!("{:x}\r\n", rest.len()).as_bytes(), rest, b"\r\n"].concat(),
        };
        connection.send(&last).await?;
    }
    if framing == Framing::Chunked {
        connection.send(b"0\r\n\r\n").await?;
    }
    connection.flush().await
}
