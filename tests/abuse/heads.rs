//! Heads that are too much.

use anyhow::{Result, ensure};
use tokio::io::AsyncWriteExt as _;

use crate::client::{H1, H2, connect, until_the_end};
use crate::frames::{field, get_with};
use crate::gate::Gate;
use crate::support::h2::PREFACE;

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

/// Sends one. What was answered.
pub(crate) async fn run(bomb: Bomb, gate: &Gate) -> Result<String> {
    let head = match bomb {
        Bomb::Size => "X: ".to_owned() + &"x".repeat(1 << 20),
        Bomb::Count => (0..5000).map(|number| format!("X-{number}: 1\r\n")).collect(),
        Bomb::Cookies => {
            let mut io = connect(gate.public, H2).await?;
            let crumbs: Vec<u8> = (0..500).flat_map(|_| field(b"cookie", b"a=b")).collect();
            io.write_all(&[PREFACE, &get_with(1, "/", &crumbs, true)].concat()).await?;
            until_the_end(io).await?;
            return Ok("answered and closed".to_owned());
        }
    };
    let (reader, mut writer) = tokio::io::split(connect(gate.public, H1).await?);
    let reading = tokio::spawn(until_the_end(reader));
    // What is too much is not read to its end.
    let _ = writer.write_all(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n").as_bytes()).await;
    let answer = String::from_utf8_lossy(&reading.await??).into_owned();
    ensure!(answer.starts_with("HTTP/1.1 431 "), "answered {answer}");
    Ok("431".to_owned())
}
