//! Those who take their time: many connections that do nothing, or next to nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Size;
use crate::client::{H1, H2, PATIENCE, connect, until_the_end};
use crate::frames::{get, get_with};
use crate::gate::{Gate, value};
use crate::support::h2::{PREFACE, RST_STREAM, frame};

const TRICKLE: Duration = Duration::from_millis(100);
/// Why a stream is reset (RFC 9113 §7).
const CANCEL: u32 = 8;

/// Where a client stops.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slow {
    /// Before the ClientHello.
    Handshake,
    /// After the handshake; the last of them is OpenSSL's client.
    Silence,
    /// In a head, a byte now and then.
    Head,
    /// Before the first byte of a body.
    NoBody,
    /// In a body, a byte now and then.
    Trickle,
    /// In a long answer.
    Reader,
    /// With its HTTP/2 window shut, in a long answer.
    ShutH2,
    /// Before the first HTTP/2 stream.
    UnusedH2,
    /// After it.
    UsedH2,
}

/// All of them at once. How they ended.
pub(crate) async fn run(slow: Slow, gate: &Gate, size: Size) -> Result<String> {
    if matches!(slow, Slow::Reader) {
        return readers(gate, size.connections).await;
    }
    let address = gate.public;
    let mut connections = JoinSet::new();
    for _ in 0..size.connections {
        connections.spawn(async move { one(slow, address).await });
    }
    let mut told = 0;
    while let Some(ended) = connections.join_next().await {
        told += usize::from(ended??);
    }
    if matches!(slow, Slow::Silence) {
        s_client(gate).await?;
    }
    let expected = matches!(slow, Slow::Head | Slow::NoBody | Slow::Trickle);
    ensure!(!expected || told == size.connections, "only {told} of {} were told 408", size.connections);
    let words = match slow {
        Slow::ShutH2 => "reset".into(),
        _ if told > 0 => format!("closed, {told} with 408"),
        _ => "closed".to_owned(),
    };
    Ok(format!("{} of {} {words}", size.connections, size.connections))
}

/// One of them, to its end. Whether it was answered 408.
async fn one(slow: Slow, address: std::net::SocketAddr) -> Result<bool> {
    let request = match slow {
        Slow::Handshake => {
            until_the_end(TcpStream::connect(address).await?).await?;
            return Ok(false);
        }
        Slow::UnusedH2 | Slow::UsedH2 => {
            let mut io = connect(address, H2).await?;
            io.write_all(PREFACE).await?;
            if matches!(slow, Slow::UsedH2) {
                io.write_all(&get(1, true)).await?;
            }
            until_the_end(io).await?;
            return Ok(false);
        }
        Slow::ShutH2 => {
            shut(address).await?;
            return Ok(false);
        }
        Slow::Silence | Slow::Reader => "",
        Slow::Head => "GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        Slow::NoBody | Slow::Trickle => "PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
    };
    let mut io = connect(address, H1).await?;
    io.write_all(request.as_bytes()).await?;
    let (reader, mut writer) = tokio::io::split(io);
    let trickling = matches!(slow, Slow::Head | Slow::Trickle);
    let trickle = tokio::spawn(async move {
        while trickling && writer.write_all(b"x").await.is_ok() {
            sleep(TRICKLE).await;
        }
        writer
    });
    let answer = until_the_end(reader).await?;
    trickle.abort();
    Ok(answer.starts_with(b"HTTP/1.1 408 "))
}

/// A client that asks for much and takes no more than the first window of it, until that stream is taken back.
async fn shut(address: std::net::SocketAddr) -> Result<()> {
    let mut io = connect(address, H2).await?;
    io.write_all(&[PREFACE, &get_with(1, "/big", &[], true)].concat()).await?;
    let reset = frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes());
    let reading = async {
        let mut said = BytesMut::new();
        while !said.ends_with(&reset) {
            ensure!(io.read_buf(&mut said).await? > 0, "the connection was closed, not the stream");
        }
        Ok(())
    };
    timeout(PATIENCE, reading).await.context("nobody ended it")?
}

/// Clients that ask for much and read nothing. They cannot see their end, which would come after all they did not read:
/// Tidegate has to say that it let them go.
async fn readers(gate: &Gate, count: usize) -> Result<String> {
    let mut open = Vec::new();
    for _ in 0..count {
        let mut io = connect(gate.public, H1).await?;
        io.write_all(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        open.push(io);
    }
    let waiting = async {
        // One is the quiet client's.
        while value(&gate.metrics().await?, "tidegate_connections") > 1 {
            sleep(TRICKLE).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, waiting).await.context("nobody ended it")??;
    Ok(format!("{count} of {count} let go"))
}

/// OpenSSL's own client, held open: it ends when Tidegate does.
async fn s_client(gate: &Gate) -> Result<()> {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &gate.public.to_string()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let _open = client.stdin.take();
    let mut said = Vec::new();
    let mut out = client.stdout.take().context("stdout")?;
    timeout(PATIENCE, out.read_to_end(&mut said)).await.context("openssl was left alone")??;
    Ok(())
}
