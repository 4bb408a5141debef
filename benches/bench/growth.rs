//! Growth: whether the cost of a request or a GiB stays what it is as connections and tokens become many.
//!
//! ```text
//! small, pull, push        1, 32, 256, 2,000 connections: the same requests or bytes in all, of 32 tokens
//! one                      as many small requests over as many connections, but never more than 1 at a time
//! few, pull-few, push-few  as many requests, pulls or pushes, but never more than 32 at a time
//! tokens                   10, 10,000, 100,000 tokens, each shown 21 times on 32 connections by a process that knew none
//! ```
//! The reference is the row of 32 connections, or of 10 tokens. Rows differ in the number of connections alone: the
//! transfers are as many and as large in each.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::Common;
use crate::cpu::{memory, spent};
use crate::load::{Client, at_most, bulk, h1};
use crate::peers::{Kind, Peer, in_turn};
use crate::stage::{Stage, say};
use crate::table::{Against, Report, Row, Target};

const CONNECTIONS: [usize; 4] = [1, 32, 256, 2_000];
/// The row that the others are measured by, and how many connections show many tokens.
const REFERENCE: usize = 32;
/// Small requests of a row.
const REQUESTS: usize = 40_000;
/// Transfers of a row, or one for each connection, and their bytes.
const TRANSFERS: usize = 2_048;
const BYTES: u64 = 1 << 20;
const TOKENS: [usize; 3] = [10, 10_000, 100_000];
/// How often each token is shown once it is known. A row of few tokens has as many requests as [`REQUESTS`].
const PASSES: usize = 20;
/// Flat: within so much of the reference.
const MOST: f64 = 1.15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    Small,
    Few,
    One,
    Pull,
    FewPulls,
    Push,
    FewPushes,
}

impl Load {
    const ALL: [Self; 7] = [Self::Small, Self::Few, Self::One, Self::Pull, Self::FewPulls, Self::Push, Self::FewPushes];

    /// What `--only` calls it.
    fn word(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Few => "few",
            Self::One => "one",
            Self::Pull => "pull",
            Self::FewPulls => "pull-few",
            Self::Push => "push",
            Self::FewPushes => "push-few",
        }
    }

    /// How many go on at a time.
    fn at_a_time(self) -> usize {
        match self {
            Self::Small | Self::Pull | Self::Push => usize::MAX,
            Self::Few | Self::FewPulls | Self::FewPushes => REFERENCE,
            Self::One => 1,
        }
    }

    /// Over how many connections: 32 at a time take 32.
    fn counts(self) -> impl Iterator<Item = usize> {
        CONNECTIONS.into_iter().filter(move |count| self.at_a_time() != REFERENCE || *count >= REFERENCE)
    }

    fn row(self, connections: usize) -> Row {
        let (what, unit) = match self {
            Self::Small => ("small request", "CPU µs"),
            Self::Few => ("small request, 32 at a time", "CPU µs"),
            Self::One => ("small request, one at a time", "CPU µs"),
            Self::Pull => ("pull", "CPU s/GiB"),
            Self::FewPulls => ("pull, 32 at a time", "CPU s/GiB"),
            Self::Push => ("push, with length", "CPU s/GiB"),
            Self::FewPushes => ("push, 32 at a time", "CPU s/GiB"),
        };
        let many = if connections == 1 { "connection" } else { "connections" };
        Row::new(format!("{what}, {} {many}", grouped(connections)), unit, Vec::new())
    }
}

/// Runs them all.
pub(crate) async fn run(common: &Common) -> Result<Report> {
    let stage = Stage::set(common)?;
    let client = stage.client()?;
    let mut rows = connections(common, &stage, &client).await?;
    if common.wants("tokens") {
        rows.extend(tokens(common, &stage, &client).await?);
    }
    Ok(Report { title: format!("Growth, median of {}", common.rounds), rows })
}

/// The cost at every number of connections.
async fn connections(common: &Common, stage: &Stage, client: &Client) -> Result<Vec<Row>> {
    let loads: Vec<Load> = Load::ALL.into_iter().filter(|load| common.wants(load.word())).collect();
    if loads.is_empty() {
        return Ok(Vec::new());
    }
    let tokens = stage.mint.tokens(REFERENCE)?;
    let peers = stage.start_all(common, |kind| *kind != Kind::NginxBuffering).await?;
    let mut all = Vec::new();
    for load in loads {
        let mut rows: Vec<Row> = load.counts().map(|count| load.row(count)).collect();
        for round in 0..common.rounds {
            for (count, row) in load.counts().zip(&mut rows) {
                for peer in in_turn(&peers, round) {
                    let began = Instant::now();
                    let figure = cost(load, count, peer, client, &tokens, common.quick)
                        .await
                        .with_context(|| format!("{}: {} of {count}", peer.kind.name(), load.word()))?;
                    row.add(peer.kind.name(), peer.kind.is_ours(), figure);
                    say(&format!(
                        "round {}: {}, {count}: {}: {figure:.3} ({:.1} s)",
                        round + 1,
                        load.word(),
                        peer.kind.name(),
                        began.elapsed().as_secs_f64()
                    ));
                }
            }
        }
        compare(&mut rows, load.counts().position(|count| count == REFERENCE), "32 connections");
        all.extend(rows);
    }
    Ok(all)
}

/// Microseconds per request, or seconds per GiB, over so many connections.
async fn cost(load: Load, count: usize, peer: &Peer, client: &Client, tokens: &[String], quick: bool) -> Result<f64> {
    let less = if quick { 4 } else { 1 };
    let (requests, bytes) = (REQUESTS / usize::try_from(less)?, BYTES / less);
    let gib = |transfers: usize| bytes as f64 * transfers as f64 / f64::from(1 << 30);
    let most = load.at_a_time().min(count);
    let connections = h1::open(client, peer.address, count, tokens).await?;
    let (used, units) = match load {
        Load::Small | Load::Few | Load::One => {
            let small = async |connection: &mut h1::Connection| connection.small().await;
            let (used, done) = warmed(peer, most, connections, requests, small).await?;
            (used, done as f64 / 1e6)
        }
        Load::Pull | Load::FewPulls => {
            let pull = async move |connection: &mut h1::Connection| bulk::pull_one(connection, bytes).await;
            let (used, done) = warmed(peer, most, connections, TRANSFERS, pull).await?;
            (used, gib(done))
        }
        Load::Push | Load::FewPushes => {
            let uploads = bulk::begin(connections).await?;
            let framing = bulk::Framing::Length;
            let push = async move |upload: &mut bulk::Upload| bulk::push_one(upload, bytes, framing).await;
            let (used, done) = warmed(peer, most, uploads, TRANSFERS, push).await?;
            (used, gib(done))
        }
    };
    Ok(used.as_secs_f64() / units)
}

/// The CPU time of some work, `most` at a time, and how often it was done. All have done it once before, but for what is
/// left of a lane: TCP's windows have grown, and there are as many connections to the origin as work goes on at a time.
async fn warmed<T, F>(peer: &Peer, most: usize, all: Vec<T>, times: usize, work: F) -> Result<(Duration, usize)>
where
    T: 'static,
    F: AsyncFn(&mut T) -> Result<()> + Clone + 'static,
{
    let count = all.len();
    let (all, _) = at_most(most, all, count, work.clone()).await?;
    let (used, (_, done)) = spent(peer.pid, at_most(most, all, times, work)).await?;
    Ok((used, done))
}

/// What many tokens cost; only builds of ours: to the peers a token is a header like any other.
async fn tokens(common: &Common, stage: &Stage, client: &Client) -> Result<Vec<Row>> {
    let most = TOKENS.into_iter().max().unwrap_or_default();
    let less = if common.quick { 4 } else { 1 };
    say(&format!("signing {most} tokens"));
    let tokens = stage.mint.tokens(most)?;
    let named =
        |what: &str, count: usize, unit| Row::new(format!("{what}, {} tokens", grouped(count)), unit, Vec::new());
    let mut warm = TOKENS.map(|count| named("small request", count, "CPU µs"));
    let mut cold = TOKENS.map(|count| named("first use of a token", count, "CPU µs"));
    let mut memories = TOKENS.map(|count| named("resident", count, "MiB"));
    for round in 0..common.rounds {
        for (number, count) in TOKENS.into_iter().enumerate() {
            // Two million requests are a median by themselves.
            if round > 0 && count == most {
                continue;
            }
            for kind in Stage::kinds(common)?.into_iter().filter(Kind::is_ours) {
                let peer = stage.start(kind).await?;
                let (began, name) = (Instant::now(), peer.kind.name());
                let mut connections = h1::open(client, peer.address, REFERENCE, &tokens).await?;
                h1::deal(&mut connections, tokens.get(..count).context("too few tokens")?);
                let shown: usize = connections.iter().map(h1::Connection::credentials).sum();
                let passes = PASSES.max(REQUESTS / shown) / less;
                let (first, connections) = spent(peer.pid, h1::passes(connections, 1)).await?;
                let (then, _) = spent(peer.pid, h1::passes(connections, passes)).await?;
                let mib = memory(peer.pid)? as f64 / f64::from(1 << 20);
                let (first, then) =
                    (first.as_secs_f64() * 1e6 / shown as f64, then.as_secs_f64() * 1e6 / (shown * passes) as f64);
                let add = |rows: &mut [Row], figure| rows.get_mut(number).map(|row| row.add(name, true, figure));
                add(&mut warm, then);
                add(&mut cold, first);
                add(&mut memories, mib);
                say(&format!(
                    "round {}: {count} tokens: {name}: first {first:.2}, then {then:.2} µs, {mib:.1} MiB ({:.1} s)",
                    round + 1,
                    began.elapsed().as_secs_f64()
                ));
            }
        }
    }
    compare(&mut warm, Some(0), "10 tokens");
    // Ten tokens are known from the moment the connections are open: their first use is no first use.
    Ok(warm.into_iter().chain(cold.into_iter().skip(1)).chain(memories).collect())
}

/// Gives every row but the reference its target.
fn compare(rows: &mut [Row], reference: Option<usize>, name: &'static str) {
    let Some(other) = reference.and_then(|place| rows.get(place)).and_then(Row::ours) else { return };
    for (place, row) in rows.iter_mut().enumerate() {
        if Some(place) != reference {
            row.targets.push(Target { against: Against::Other(name, other), most: MOST });
        }
    }
}

/// As people write numbers.
fn grouped(number: usize) -> String {
    match number {
        small if small < 1_000 => small.to_string(),
        large => format!("{},{:03}", large / 1_000, large % 1_000),
    }
}
