//! A well-behaved client: one connection, one small request after the other, a pause between. It runs on a thread of its own,
//! and its site has an origin of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::Rank;
use crate::client::{H1, connect_to};

const PAUSE: Duration = Duration::from_millis(4);

/// A client that goes on until it is asked how it was.
#[derive(Debug)]
pub(crate) struct Quiet {
    counts: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Duration>>>,
}

impl Quiet {
    /// A `patient` one takes 503 for an answer, as clients do that try again.
    pub(crate) fn start(address: SocketAddr, patient: bool) -> Self {
        let (counts, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (counts, stop) = (Arc::clone(&counts), Arc::clone(&stop));
            move || {
                Rank::First.take()?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(ask(address, &counts, &stop, patient))
            }
        });
        Self { counts, stop, thread }
    }

    /// From now on what it waits counts: nothing that was asked before.
    pub(crate) fn count(&self) {
        self.counts.store(true, Ordering::Relaxed);
    }

    /// Stops it. Its 99th percentile, in milliseconds; an error when one request was not answered.
    pub(crate) async fn p99(self) -> Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        let taken = tokio::task::spawn_blocking(|| self.thread.join()).await?;
        let mut taken = taken.ok().context("the quiet client panicked")?.context("the quiet client was not served")?;
        taken.sort_unstable();
        let at = taken.len().saturating_sub(1) * 99 / 100;
        Ok(taken.get(at).context("the quiet client asked nothing")?.as_secs_f64() * 1e3)
    }
}

async fn ask(address: SocketAddr, counts: &AtomicBool, stop: &AtomicBool, patient: bool) -> Result<Vec<Duration>> {
    let mut io = connect_to("quiet.example", address, H1).await?;
    let mut taken = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (counts, began) = (counts.load(Ordering::Relaxed), Instant::now());
        io.write_all(b"GET / HTTP/1.1\r\nHost: quiet.example\r\n\r\n").await?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        while !is_whole(&answer) {
            let read =
                tokio::time::timeout(Duration::from_secs(20), io.read(&mut piece)).await.context("no answer")??;
            ensure!(read > 0, "cut off after {}", String::from_utf8_lossy(&answer));
            answer.extend(piece.iter().take(read));
        }
        let served = answer.starts_with(b"HTTP/1.1 200 ") || (patient && answer.starts_with(b"HTTP/1.1 503 "));
        ensure!(served, "{}", String::from_utf8_lossy(&answer));
        if counts {
            taken.push(began.elapsed());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(taken)
}

/// Whether an answer with a length has come to its end.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}
