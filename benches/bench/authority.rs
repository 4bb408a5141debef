//! A token server that answers as GitLab's `/jwt/auth` does: `{"token": …}` and nothing else, by who asks.
//!
//! The tokens were signed beforehand, one for each user: asking costs it next to nothing. It counts how often it is asked,
//! and answers as late as it is told. One thread of its own serves all connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::reader::{Reader, prepare};

/// What every user's name begins with; a number follows.
const USER: &str = "user-";

/// The `Authorization` of a user (RFC 7617).
pub(crate) fn basic(number: usize) -> String {
    format!("Basic {}", STANDARD.encode(format!("{USER}{number}:a password of an ordinary length")))
}

/// A running one; it ends with the process.
#[derive(Debug)]
pub(crate) struct Authority(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    tokens: Vec<String>,
    asked: AtomicU64,
    milliseconds: AtomicU64,
}

impl Authority {
    /// Hands out these, by the user's number, at `address`.
    pub(crate) fn start(address: SocketAddr, tokens: Vec<String>) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let desk = Arc::new(Desk { tokens, asked: AtomicU64::new(0), milliseconds: AtomicU64::new(0) });
        let authority = Self(Arc::clone(&desk));
        std::thread::Builder::new().name("authority".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, serve(listener, desk))
        })?;
        Ok(authority)
    }

    /// How often it was asked until now.
    pub(crate) fn asked(&self) -> u64 {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// How long it thinks from now on, in whole milliseconds.
    pub(crate) fn thinks(&self, time: Duration) {
        self.0.milliseconds.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

async fn serve(listener: std::net::TcpListener, desk: Arc<Desk>) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        prepare(&stream)?;
        let desk = Arc::clone(&desk);
        tokio::task::spawn_local(async move {
            // What it meant for a client is told there.
            let _ended = desk.wait_on(stream).await;
        });
    }
}

impl Desk {
    async fn wait_on(&self, stream: TcpStream) -> Result<()> {
        let mut reader = Reader::new(stream);
        while let Some(head) = reader.head().await? {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let time = Duration::from_millis(self.milliseconds.load(Ordering::Relaxed));
            if !time.is_zero() {
                sleep(time).await;
            }
            reader.stream.write_all(self.answer(std::str::from_utf8(&head)?)?.as_bytes()).await?;
        }
        Ok(())
    }

    fn answer(&self, head: &str) -> Result<String> {
        let (status, body) = match self.token(head) {
            Some(token) => ("200 OK", serde_json::json!({ "token": token })),
            None => ("401 Unauthorized", serde_json::json!({ "errors": [{ "code": "UNAUTHORIZED" }] })),
        };
        let body = serde_json::to_string(&body).context("an answer in JSON")?;
        Ok(format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn token(&self, head: &str) -> Option<&String> {
        let fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
        let value = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?.1;
        let pair = String::from_utf8(STANDARD.decode(value.strip_prefix("Basic ")?).ok()?).ok()?;
        let (user, _) = pair.split_once(':')?;
        self.tokens.get(user.strip_prefix(USER)?.parse::<usize>().ok()?)
    }
}
