//! Just enough of a registry, as cheap as it can be: it answers by the form of the request, and keeps nothing.
//!
//! ```text
//! GET  …/blobs/sha256:…LENGTH    200, so many bytes: the last 16 hexadecimal digits of the digest say how many
//! GET  …/manifests/…             200, 512 bytes of JSON
//! POST …/blobs/uploads/          202, Location
//! PATCH, PUT to it               202 with Location and Range, 201; the body is swallowed
//! ```
//! One thread of its own serves all connections, HTTP/1.1, kept alive.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::reader::{Reader, prepare};
use crate::tokens::REPOSITORY;

/// What a body is written in.
const PIECE: usize = 256 << 10;
/// Where a blob's bytes come from.
static ZEROS: [u8; PIECE] = [0; PIECE];

/// How fast bodies are read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As they come.
    Full,
    /// Not at all.
    Stalled,
    /// So many bytes a second on every connection.
    PerSecond(u64),
}

/// Bytes a second; the most there is means no bound.
static PACE: AtomicU64 = AtomicU64::new(u64::MAX);
const STALL_POLL: Duration = Duration::from_millis(50);

/// Sets it for all connections.
pub(crate) fn set_pace(pace: Pace) {
    let rate = match pace {
        Pace::Full => u64::MAX,
        Pace::Stalled => 0,
        Pace::PerSecond(bytes) => bytes,
    };
    PACE.store(rate, Ordering::Relaxed);
}

/// What a digest says that names a blob of so many bytes.
pub(crate) fn digest(length: u64) -> String {
    format!("sha256:{:048x}{length:016x}", 0)
}

/// Starts it; it ends with the process.
pub(crate) fn start() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("origin".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, serve(listener))
    })?;
    Ok(address)
}

async fn serve(listener: std::net::TcpListener) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        prepare(&stream)?;
        tokio::task::spawn_local(async move {
            let connection = Connection { reader: Reader::new(stream) };
            // A proxy may close when it likes; whether its clients were served is checked where they are.
            let _ended = connection.run().await;
        });
    }
}

struct Connection {
    reader: Reader<TcpStream>,
}

/// How the body of a request is framed (RFC 9112 §6).
#[derive(Clone, Copy)]
enum Body {
    Length(u64),
    Chunked,
}

impl Connection {
    async fn run(mut self) -> Result<()> {
        static UPLOADS: AtomicU64 = AtomicU64::new(1);
        while let Some((method, target, body)) = self.head().await? {
            let swallowed = self.swallow(body).await?;
            let upload = |number: u64| format!("/v2/{REPOSITORY}/blobs/uploads/{number:032x}?_state=bench");
            let answer = match method.as_str() {
                "GET" if target.contains("/blobs/") => {
                    let length = target.get(target.len().saturating_sub(16)..).unwrap_or_default();
                    self.blob(u64::from_str_radix(length, 16)?).await?;
                    continue;
                }
                "GET" => format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\n\
                     Docker-Content-Digest: {}\r\nContent-Length: 512\r\n\r\n{:512}",
                    digest(512),
                    "{}"
                ),
                "POST" => accepted(&upload(UPLOADS.fetch_add(1, Ordering::Relaxed)), 0),
                "PATCH" => accepted(&target, swallowed),
                "PUT" => format!(
                    "HTTP/1.1 201 Created\r\nLocation: /v2/{REPOSITORY}/blobs/{}\r\nContent-Length: 0\r\n\r\n",
                    digest(0)
                ),
                _ => bail!("{method}?"),
            };
            self.reader.stream.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }

    /// Method, target and framing of the next request.
    async fn head(&mut self) -> Result<Option<(String, String, Body)>> {
        let Some(head) = self.reader.head().await? else { return Ok(None) };
        let head = std::str::from_utf8(&head)?;
        let mut lines = head.split("\r\n");
        let mut words = lines.next().context("no request line")?.split(' ');
        let (method, target) = (words.next().context("no method")?, words.next().context("no target")?);
        let mut body = Body::Length(0);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                body = Body::Length(value.trim().parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                body = Body::Chunked;
            }
        }
        Ok(Some((method.to_owned(), target.to_owned(), body)))
    }

    async fn swallow(&mut self, body: Body) -> Result<u64> {
        match body {
            Body::Length(length) => self.skip(length).await.map(|()| length),
            Body::Chunked => {
                let mut sum = 0;
                loop {
                    let length = self.chunk_size().await?;
                    // The CRLF behind the chunk; behind the last one it ends the (empty) trailers.
                    self.skip(length + 2).await?;
                    sum += length;
                    if length == 0 {
                        return Ok(sum);
                    }
                }
            }
        }
    }

    async fn chunk_size(&mut self) -> Result<u64> {
        let line = self.reader.line().await?.context("ended in a chunk")?;
        Ok(u64::from_str_radix(std::str::from_utf8(&line)?.trim(), 16)?)
    }

    /// As fast as bodies are to be read.
    async fn skip(&mut self, mut length: u64) -> Result<()> {
        while length > 0 {
            while PACE.load(Ordering::Relaxed) == 0 {
                sleep(STALL_POLL).await;
            }
            let (here, rate) = (self.reader.some(length).await?, PACE.load(Ordering::Relaxed));
            ensure!(here > 0, "ended in a body");
            if rate != u64::MAX && rate != 0 {
                sleep(Duration::from_secs_f64(here as f64 / rate as f64)).await;
            }
            length -= here;
        }
        Ok(())
    }

    async fn blob(&mut self, mut length: u64) -> Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\
             Docker-Content-Digest: {}\r\nAccept-Ranges: bytes\r\n\r\n",
            digest(length)
        );
        self.reader.stream.write_all(head.as_bytes()).await?;
        while length > 0 {
            let piece = ZEROS.get(..usize::try_from(length)?.min(PIECE)).unwrap_or(&ZEROS);
            self.reader.stream.write_all(piece).await?;
            length -= u64::try_from(piece.len())?;
        }
        Ok(())
    }
}

fn accepted(location: &str, bytes: u64) -> String {
    format!(
        "HTTP/1.1 202 Accepted\r\nLocation: {location}\r\nDocker-Upload-UUID: bench\r\nRange: 0-{}\r\n\
         Content-Length: 0\r\n\r\n",
        bytes.saturating_sub(1)
    )
}
