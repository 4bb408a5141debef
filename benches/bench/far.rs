//! Whether HTTP/2 carries as much as HTTP/1.1 over a long line, one transfer at a time.
//!
//! ```text
//! load ──▶ a line, 50 ms each way ──▶ proxy ──▶ origin
//! ```
//! What is taken is the time from the request to the end of its answer. The client's own windows are the largest there
//! are: what holds a transfer back is the proxy.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::Common;
use crate::line::Line;
use crate::load::{Client, bulk, h1, h2};
use crate::peers::{Kind, in_turn};
use crate::stage::{Stage, say};
use crate::table::{Against, Report, Row, Target};

/// Of one transfer, `--quick` or not: a layer large enough that the second in which windows grow is a small part of its
/// time.
const BYTES: u64 = 1 << 30;
/// Of a peer's push over h2: their windows of 64 KiB let so much through in 13 s.
const PEERS_PUSH: u64 = 8 << 20;
/// Half of a round trip of 100 ms.
const DELAY: Duration = Duration::from_millis(50);
/// 1 Gbit/s, in bytes a second.
const GIGABIT: f64 = 125e6;
/// h2 carries 0.9 of what h1 carries: it takes 1.11 of the time.
const MOST: f64 = 1.11;

/// What `--only` calls each line, its width, how long it is, and its name. What HTTP/2 takes longer over one of any width
/// and no length is not the line's doing.
const LINES: [(&str, Option<f64>, Duration, &str); 3] = [
    ("near", None, Duration::ZERO, "over 0 ms, of any width"),
    ("wide", None, DELAY, "over 100 ms, of any width"),
    ("gigabit", Some(GIGABIT), DELAY, "over 100 ms, of 1 Gbit/s"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Pull,
    Push,
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }
}

/// Runs them all.
pub(crate) async fn run(common: &Common) -> Result<Report> {
    let stage = Stage::set(common)?;
    let client = stage.client()?;
    let tokens = stage.mint.tokens(1)?;
    let peers = stage.start_all(common, |kind| *kind != Kind::NginxBuffering).await?;
    let mut report = Report { title: format!("Over a line of 100 ms, median of {}", common.rounds), rows: Vec::new() };
    for (word, rate, delay, name) in LINES.into_iter().filter(|(word, ..)| common.wants(word)) {
        let mut lines = Vec::new();
        for peer in &peers {
            lines.push((peer, Line { delay, rate }.to(peer.address)?));
        }
        for way in [Way::Pull, Way::Push] {
            let row = |version: &str| Row::new(format!("{} {name}, {version}", way.word()), "s/GiB", Vec::new());
            let (mut first, mut second) = (row("h1"), row("h2"));
            for round in 0..common.rounds {
                for (peer, start) in in_turn(&lines, round) {
                    let (name, ours) = (peer.kind.name(), peer.kind.is_ours());
                    let per_gib = |took: Duration, sent: u64| took.as_secs_f64() * f64::from(1 << 30) / sent as f64;
                    let h1 = over_h1(way, &client, *start, &tokens, BYTES).await.context("h1")?;
                    let least = if ours || way == Way::Pull { BYTES } else { PEERS_PUSH };
                    let h2 = over_h2(way, &client, *start, &tokens, least).await.context("h2")?;
                    say(&format!("round {}: {word}: {}: {name}: h1 {h1:.2?}, h2 {h2:.2?}", round + 1, way.word()));
                    let (h1, h2) = (per_gib(h1, BYTES), per_gib(h2, least));
                    first.add(name, ours, h1);
                    second.add(name, ours, h2);
                }
            }
            if delay > Duration::ZERO
                && let Some(h1) = first.ours()
            {
                second.targets.push(Target { against: Against::Other("h1", h1), most: MOST });
            }
            report.rows.extend([first, second]);
        }
    }
    Ok(report)
}

async fn over_h1(way: Way, client: &Client, start: SocketAddr, tokens: &[String], bytes: u64) -> Result<Duration> {
    let connections = h1::open(client, start, 1, tokens).await?;
    match way {
        Way::Pull => {
            let began = Instant::now();
            bulk::pull(connections, bytes).await?;
            Ok(began.elapsed())
        }
        Way::Push => {
            let uploads = bulk::begin(connections).await?;
            let began = Instant::now();
            bulk::push(uploads, bytes, bulk::Framing::Length).await?;
            Ok(began.elapsed())
        }
    }
}

async fn over_h2(way: Way, client: &Client, start: SocketAddr, tokens: &[String], bytes: u64) -> Result<Duration> {
    let connections = h2::open(client, start, 1, tokens).await?;
    let connection = connections.first().context("no connection")?;
    match way {
        Way::Pull => {
            let began = Instant::now();
            h2::pull(connection, bytes).await?;
            Ok(began.elapsed())
        }
        Way::Push => {
            let location = h2::begin(connection).await?;
            let began = Instant::now();
            h2::push(connection, &location, bytes).await?;
            Ok(began.elapsed())
        }
    }
}
