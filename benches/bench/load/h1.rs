//! One HTTP/1.1 connection, by hand: a client that costs as little as it can.

use std::collections::VecDeque;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Client, every};
use crate::reader::Reader;
use crate::tokens::REPOSITORY;

/// One connection, between two requests.
pub(crate) struct Connection {
    reader: Reader<TlsStream<TcpStream>>,
    /// Values of `Authorization`; a request shows the first, which then goes to the end.
    shows: VecDeque<String>,
}

/// The head of an answer; its body was read and thrown away.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) length: u64,
}

impl Connection {
    /// TLS and nothing more.
    pub(crate) async fn open(client: &Client, address: SocketAddr, token: &str) -> Result<Self> {
        let stream = client.h1(address).await?;
        Ok(Self { reader: Reader::new(stream), shows: VecDeque::from([bearer(token)]) })
    }

    /// How many values of `Authorization` it shows in turn.
    pub(crate) fn credentials(&self) -> usize {
        self.shows.len()
    }

    /// A head without a body.
    pub(crate) fn head(&self, method: &str, target: &str, more: &str) -> String {
        format!(
            "{method} {target} HTTP/1.1\r\nHost: registry.example.com\r\nUser-Agent: docker/27.5.1 go/go1.22.11\r\n\
             Authorization: {}\r\nAccept: application/vnd.oci.image.manifest.v1+json\r\n{more}\r\n",
            self.shows.front().map_or("", String::as_str)
        )
    }

    /// Writes bytes of a request.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.reader.stream.write_all(bytes).await?)
    }

    /// What rustls has left to send.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        Ok(self.reader.stream.flush().await?)
    }

    /// Reads a whole answer.
    pub(crate) async fn answer(&mut self) -> Result<Answer> {
        let head = self.reader.head().await?.context("the proxy closed")?;
        let head = std::str::from_utf8(&head)?;
        let status = head.get(9..12).context("no status line")?.parse()?;
        let fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
        let (mut length, mut location) = (None, None);
        for (name, value) in fields {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse()?);
            } else if name.eq_ignore_ascii_case("location") {
                location = Some(value.trim().to_owned());
            }
        }
        let length: u64 = length.with_context(|| format!("an answer without a length:\n{head}"))?;
        self.reader.skip(length).await?;
        Ok(Answer { status, location, length })
    }

    /// A small authenticated request.
    pub(crate) async fn small(&mut self) -> Result<()> {
        let answer = self.get(&format!("/v2/{REPOSITORY}/manifests/latest")).await?;
        ensure!(answer.status == 200 && answer.length == 512, "a small request: {answer:?}");
        Ok(())
    }

    /// A request that reads, with the next credential.
    pub(crate) async fn get(&mut self, target: &str) -> Result<Answer> {
        let head = self.head("GET", target, "");
        self.shows.rotate_left(1);
        self.send(head.as_bytes()).await?;
        self.answer().await
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// So many connections, each with one of the tokens, each after one small request.
pub(crate) async fn open(
    client: &Client,
    address: SocketAddr,
    count: usize,
    tokens: &[String],
) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    for token in tokens.iter().cycle().take(count) {
        let mut connection = Connection::open(client, address, token).await?;
        connection.small().await?;
        connections.push(connection);
    }
    Ok(connections)
}

/// Gives each connection the tokens that it shows from now on: every token to one of them, or where there are fewer, one
/// to each.
pub(crate) fn deal(connections: &mut [Connection], tokens: &[String]) {
    deal_credentials(connections, tokens.iter().map(|token| bearer(token)).collect());
}

/// The same with whole values of `Authorization`.
pub(crate) fn deal_credentials(connections: &mut [Connection], values: Vec<String>) {
    let hands = values.len().max(connections.len());
    for connection in &mut *connections {
        connection.shows.clear();
    }
    let count = connections.len();
    for (number, value) in values.iter().cycle().take(hands).enumerate() {
        if let Some(connection) = connections.get_mut(number % count) {
            connection.shows.push_back(value.clone());
        }
    }
}

/// Sends `each` small requests on every connection, one after the other, all connections at a time.
pub(crate) async fn small(connections: Vec<Connection>, each: usize) -> Result<Vec<Connection>> {
    every(connections, async move |connection| {
        for _ in 0..each {
            connection.small().await?;
        }
        Ok(())
    })
    .await
}

/// Shows every token of every connection `times` times, one after the other.
pub(crate) async fn passes(connections: Vec<Connection>, times: usize) -> Result<Vec<Connection>> {
    every(connections, async move |connection| {
        for _ in 0..times * connection.credentials() {
            connection.small().await?;
        }
        Ok(())
    })
    .await
}
