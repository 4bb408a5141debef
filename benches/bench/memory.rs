//! Memory: what a connection that waits keeps, and what a slow registry piles up.
//!
//! ```text
//! idle-h1, idle-h2   4,000 connections after one request each
//! stalled-registry   400 uploads whose registry has stopped reading
//! stalled-client     400 uploads whose client has stopped sending
//! slow               4 uploads of 2 GiB to a slow registry: the most that is resident meanwhile
//! ```
//! Each is measured on a process of its own that has answered once. The kernel's share is that of the whole machine, all
//! four ends of the sockets of a proxied connection: only on a quiet machine does it say anything.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::Common;
use crate::cpu::memory;
use crate::load::bulk::{self, Framing};
use crate::load::{Client, h1, h2};
use crate::origin::{self, Pace};
use crate::peers::{Kind, Peer};
use crate::stage::{Stage, say};
use crate::table::{Against, Report, Row, Target};

const IDLE: usize = 4_000;
/// So many that what a process keeps once, as buffers in stock, is not taken for theirs.
const STALLED: usize = 400;
/// What a stalled client has sent before it stops.
const BEFORE_STALL: u64 = 1 << 20;
/// Of each upload to the slow registry.
const SLOW_BYTES: u64 = 2 << 30;
/// Bytes a second that the slow registry takes of each upload.
const SLOW: u64 = 64 << 20;
const SLOW_UPLOADS: usize = 4;
const SAMPLE: Duration = Duration::from_millis(100);
/// Memory that has not grown for so long has settled.
const SETTLED: Duration = Duration::from_secs(2);
const SETTLED_MOST: Duration = Duration::from_secs(30);
const TOKENS: usize = 32;

const WORDS: [&str; 5] = ["idle-h1", "idle-h2", "stalled-registry", "stalled-client", "slow"];

/// Runs them all.
pub(crate) async fn run(common: &Common) -> Result<Report> {
    let stage = Stage::set(common)?;
    let client = stage.client()?;
    let tokens = stage.mint.tokens(TOKENS)?;
    let mut report = Report { title: "Memory".into(), rows: Vec::new() };
    for word in WORDS.into_iter().filter(|word| common.wants(word)) {
        let [mut own, mut kernel] = rows(word, common.quick);
        for kind in Stage::kinds(common)?.into_iter().filter(|kind| *kind != Kind::NginxBuffering) {
            let peer = stage.start(kind).await?;
            let measured = measure(word, &peer, &client, &tokens, common.quick).await;
            origin::set_pace(Pace::Full);
            let (process, sockets) = measured.with_context(|| format!("{}: {word}", peer.kind.name()))?;
            say(&format!("{word}: {}: {process:.1}, kernel {sockets:.1}", peer.kind.name()));
            own.add(peer.kind.name(), peer.kind.is_ours(), process);
            kernel.add(peer.kind.name(), peer.kind.is_ours(), sockets);
        }
        report.rows.extend([own, kernel]);
    }
    Ok(report)
}

/// The row of the process and that of the kernel.
fn rows(word: &str, quick: bool) -> [Row; 2] {
    let most = |most| vec![Target { against: Against::Figure, most }];
    let (what, unit, targets) = match word {
        "idle-h1" => ("idle connection, h1", "KiB", most(16.0)),
        "idle-h2" => ("idle connection, h2", "KiB", Vec::new()),
        "stalled-registry" => ("upload, the registry stalls", "KiB", most(160.0)),
        "stalled-client" => ("upload, the client stalls", "KiB", most(160.0)),
        _ if quick => ("4 pushes of 512 MiB to a slow registry, the most", "MiB", most(64.0)),
        _ => ("4 pushes of 2 GiB to a slow registry, the most", "MiB", most(64.0)),
    };
    [Row::new(what, unit, targets), Row::new(format!("{what}: kernel, all sockets"), unit, Vec::new())]
}

/// What one more costs in the process and in the kernel: KiB each, or MiB at the most where it is about the whole.
async fn measure(word: &str, peer: &Peer, client: &Client, tokens: &[String], quick: bool) -> Result<(f64, f64)> {
    drop(h1::open(client, peer.address, 2, tokens).await?);
    drop(h2::open(client, peer.address, 2, tokens).await?);
    let before = settled(peer).await?;
    let idle = if quick { IDLE / 4 } else { IDLE };
    let per = |after: Usage, count: usize| after.grown(before, 1024.0 * count as f64);
    match word {
        "idle-h1" => {
            let _held = h1::open(client, peer.address, idle, tokens).await?;
            Ok(per(settled(peer).await?, idle))
        }
        "idle-h2" => {
            let _held = h2::open(client, peer.address, idle, tokens).await?;
            Ok(per(settled(peer).await?, idle))
        }
        "stalled-registry" => {
            let uploads = bulk::begin(h1::open(client, peer.address, STALLED, tokens).await?).await?;
            origin::set_pace(Pace::Stalled);
            // More than any buffer on the way holds: it ends only with the stall.
            let running = tokio::task::spawn_local(bulk::push(uploads, 1 << 30, Framing::Length));
            let after = settled(peer).await?;
            ended(running)?;
            Ok(per(after, STALLED))
        }
        "stalled-client" => {
            let uploads = bulk::begin(h1::open(client, peer.address, STALLED, tokens).await?).await?;
            let _held = bulk::begin_bodies(uploads, 1 << 30, BEFORE_STALL).await?;
            Ok(per(settled(peer).await?, STALLED))
        }
        _ => {
            let bytes = if quick { SLOW_BYTES / 4 } else { SLOW_BYTES };
            let uploads = bulk::begin(h1::open(client, peer.address, SLOW_UPLOADS, tokens).await?).await?;
            origin::set_pace(Pace::PerSecond(SLOW));
            let mut running = tokio::task::spawn_local(bulk::push(uploads, bytes, Framing::Length));
            let mut most = Usage::read(peer)?;
            loop {
                match timeout(SAMPLE, &mut running).await {
                    Ok(ended) => break drop(ended??),
                    Err(_) => most = most.max(Usage::read(peer)?),
                }
            }
            Ok(most.grown(Usage::default(), f64::from(1 << 20)))
        }
    }
}

/// Stops what was to stall; if it has ended by itself, nothing stalled and the figure means nothing.
fn ended<T>(running: JoinHandle<Result<T>>) -> Result<()> {
    anyhow::ensure!(!running.is_finished(), "the uploads did not stall");
    running.abort();
    Ok(())
}

/// Bytes of the process, and of TCP in the whole kernel.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    process: u64,
    kernel: u64,
}

impl Usage {
    fn read(peer: &Peer) -> Result<Self> {
        let text = std::fs::read_to_string("/proc/net/sockstat")?;
        let line = text.lines().find(|line| line.starts_with("TCP:")).context("no TCP in sockstat")?;
        let pages: u64 = line.rsplit(' ').next().context("no mem in sockstat")?.parse()?;
        Ok(Self { process: memory(peer.pid)?, kernel: pages << 12 })
    }

    fn max(self, other: Self) -> Self {
        Self { process: self.process.max(other.process), kernel: self.kernel.max(other.kernel) }
    }

    fn grown(self, before: Self, unit: f64) -> (f64, f64) {
        let grown = |after: u64, before: u64| after.saturating_sub(before) as f64 / unit;
        (grown(self.process, before.process), grown(self.kernel, before.kernel))
    }
}

/// Waits until the process grows no more.
async fn settled(peer: &Peer) -> Result<Usage> {
    let end = Instant::now() + SETTLED_MOST;
    let (mut most, mut since) = (Usage::read(peer)?, Instant::now());
    while since.elapsed() < SETTLED && Instant::now() < end {
        sleep(SAMPLE).await;
        let now = Usage::read(peer)?;
        if now.process > most.process {
            since = Instant::now();
        }
        most = most.max(now);
    }
    Usage::read(peer)
}
