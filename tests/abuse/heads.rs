//! Heads that are too much.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::attack::{Ended, again};
use crate::client::{H1, H2, PATIENCE, connect, until_the_end};
use crate::gate::Gate;

/// In what they are too much.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bomb {
    /// One field of a megabyte.
    Size,
    /// Many fields.
    Count,
    /// A cookie in crumbs, each a field of its own (RFC 9113 §8.2.3).
    Cookies,
}

/// Sends them, each on a connection of its own.
pub(crate) async fn run(bomb: Bomb, gate: &Gate) -> Result<Ended> {
    let address = gate.public;
    let fields = match bomb {
        Bomb::Size => format!("X: {}\r\n", "x".repeat(1 << 20)),
        Bomb::Count => (0..5000).map(|number| format!("X-{number}: 1\r\n")).collect(),
        Bomb::Cookies => String::new(),
    };
    let head = Arc::new(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    let sent = again(move |_| {
        let head = Arc::clone(&head);
        async move { if matches!(bomb, Bomb::Cookies) { crumbs(address).await } else { plain(address, &head).await } }
    });
    let bombs = sent.await?.len();
    Ok(Ended { words: format!("431, {bombs} of {bombs}"), times: i64::try_from(bombs)? })
}

/// Over HTTP/1.
async fn plain(address: SocketAddr, head: &str) -> Result<()> {
    let (reader, mut writer) = tokio::io::split(connect(address, H1).await?);
    let reading = tokio::spawn(until_the_end(reader));
    // What is too much is not read to its end.
    let _ = writer.write_all(head.as_bytes()).await;
    let answer = String::from_utf8_lossy(&reading.await??).into_owned();
    ensure!(answer.starts_with("HTTP/1.1 431 "), "answered {answer}");
    Ok(())
}

async fn crumbs(address: SocketAddr) -> Result<()> {
    let io = TokioIo::new(connect(address, H2).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::get("https://localhost/");
    for _ in 0..500 {
        request = request.header("cookie", "a=b");
    }
    let answer = timeout(PATIENCE, sender.send_request(request.body(Empty::<Bytes>::new())?)).await;
    let status = answer.context("nothing is answered")??.status();
    // The connection may live on.
    connection.abort();
    ensure!(status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "answered {status}");
    Ok(())
}
