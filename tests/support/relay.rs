//! A slow line: a TCP relay that lets each connection send so many bytes a second and receive as many as it can.
//!
//! It knows no HTTP and no TLS, but it is an attentive listener: values of one query parameter that pass by towards a client
//! are remembered, so that a test can ask whether anybody wrote them down. What it slows is what makes a push long; what it must never do is hold more than a few
//! kilobytes back, or the far side would see a burst where there was a trickle.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

const CHUNK: usize = 16 * 1024;
/// How far into an answer is listened.
const HEAD: usize = 4096;
/// The parameter listened for: Tidegate's ticket in a Location.
const PARAMETER: &[u8] = b"_tidegate=";

type Overheard = Arc<Mutex<BTreeSet<String>>>;

/// A running relay; ends when dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    overheard: Overheard,
    accepting: JoinHandle<()>,
}

/// A relay's ear before it is told where to lead: others must know its address first, to write it into their configuration.
#[derive(Debug)]
pub(crate) struct Ear(TcpListener, SocketAddr);

impl Ear {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) async fn open() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self(listener, address))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.1
    }

    /// Relays every connection to `target` at `rate` bytes a second towards it.
    pub(crate) fn lead_to(self, target: SocketAddr, rate: f64) -> Relay {
        let Self(listener, address) = self;
        let overheard = Overheard::default();
        let ears = Arc::clone(&overheard);
        let accepting = tokio::spawn(async move {
            // An accept error (no descriptors left, a connection gone already) concerns one client, who will see it.
            loop {
                if let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(serve(client, target, rate, Arc::clone(&ears)));
                }
            }
        });
        Relay { address, overheard, accepting }
    }
}

impl Relay {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The tickets that went by; none on a line with TLS.
    pub(crate) fn overheard(&self) -> Vec<String> {
        self.overheard.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Either side's end is passed on in its direction; an error of either ends both at once, as a cut line does.
async fn serve(client: TcpStream, target: SocketAddr, rate: f64, overheard: Overheard) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (from_server, to_server) = server.into_split();
    let (from_client, to_client) = client.into_split();
    let _cut = tokio::try_join!(trickle(from_client, to_server, rate), pour(from_server, to_client, overheard));
}

/// As fast as it goes.
async fn pour(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, overheard: Overheard) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).await?;
        let chunk = buffer.get(..read).unwrap_or_default();
        if chunk.is_empty() {
            return to.shutdown().await;
        }
        listen(chunk, &overheard);
        to.write_all(chunk).await?;
    }
}

/// Tickets travel in heads of answers, and those begin a chunk. A value that the chunk's end cuts is let go: there are
/// hundreds, and half of one would match nothing.
fn listen(chunk: &[u8], overheard: &Overheard) {
    if !chunk.starts_with(b"HTTP/1.") {
        return;
    }
    let head = chunk.get(..HEAD).unwrap_or(chunk);
    let Some(start) = head.windows(PARAMETER.len()).position(|window| window == PARAMETER) else { return };
    let rest = head.get(start + PARAMETER.len()..).unwrap_or_default();
    let value: Vec<u8> =
        rest.iter().copied().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).collect();
    if !value.is_empty() && value.len() < rest.len() {
        let value = String::from_utf8_lossy(&value).into_owned();
        overheard.lock().unwrap_or_else(PoisonError::into_inner).insert(value);
    }
}

async fn trickle(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rate: f64) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut next = Instant::now();
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
        // An idle line saves up no credit: the next chunk is counted from now.
        let cost = Duration::from_secs_f64(f64::from(u32::try_from(read).unwrap_or(u32::MAX)) / rate);
        next = next.max(Instant::now()) + cost;
        sleep_until(next).await;
    }
}
