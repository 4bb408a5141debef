//! CPU per GiB and per small request, beside nginx and HAProxy: turn by turn, so that whatever else the machine does
//! meets all of them alike.

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::Common;
use crate::cpu::{memory, spent};
use crate::load::{Client, bulk, h1, h2};
use crate::peers::{Kind, Peer, in_turn};
use crate::stage::{Stage, say};
use crate::table::{Against, Report, Row, Target};

/// Transfers at a time.
const TRANSFERS: usize = 4;
/// Of each transfer, in a whole run.
const BYTES: u64 = 256 << 20;
/// Connections of small requests, h1.
const CONNECTIONS: usize = 32;
/// Connections and streams of small requests, h2.
const H2: (usize, usize) = (4, 8);
/// Small requests of a whole run.
const REQUESTS: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Pull,
    Push,
    Chunked,
    PullH2,
    PushH2,
    SmallH1,
    SmallH2,
}

impl Scenario {
    const ALL: [Self; 7] =
        [Self::Pull, Self::Push, Self::Chunked, Self::PullH2, Self::PushH2, Self::SmallH1, Self::SmallH2];

    /// What `--only` calls it.
    fn word(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Chunked => "chunked",
            Self::PullH2 => "pull-h2",
            Self::PushH2 => "push-h2",
            Self::SmallH1 => "h1",
            Self::SmallH2 => "h2",
        }
    }

    fn row(self) -> Row {
        let best = |most| vec![Target { against: Against::Best, most }];
        match self {
            Self::Pull => Row::new("pull", "CPU s/GiB", best(0.75)),
            Self::Push => Row::new("push, with length", "CPU s/GiB", best(0.65)),
            Self::Chunked => Row::new("push, chunked", "CPU s/GiB", best(0.65)),
            Self::PullH2 => Row::new("pull, h2", "CPU s/GiB", Vec::new()),
            Self::PushH2 => Row::new("push, h2", "CPU s/GiB", Vec::new()),
            Self::SmallH1 => Row::new("small request, h1", "CPU µs", best(1.0)),
            Self::SmallH2 => {
                let named = |name, most| Target { against: Against::Named(name), most };
                Row::new("small request, h2", "CPU µs", vec![named("nginx", 1.0), named("haproxy", 1.5)])
            }
        }
    }
}

/// Runs them all.
pub(crate) async fn run(common: &Common) -> Result<Report> {
    let stage = Stage::set(common)?;
    let client = stage.client()?;
    let tokens = stage.mint.tokens(CONNECTIONS)?;
    let peers = stage.start_all(common, |_| true).await?;
    let scenarios: Vec<Scenario> = Scenario::ALL.into_iter().filter(|it| common.wants(it.word())).collect();
    let mut rows: Vec<Row> = scenarios.iter().map(|it| it.row()).collect();
    for round in 0..common.rounds {
        for (scenario, row) in scenarios.iter().zip(&mut rows) {
            for peer in in_turn(&peers, round) {
                // What it buffers are answers: elsewhere it is the same nginx once more.
                if peer.kind == Kind::NginxBuffering && !matches!(scenario, Scenario::Pull | Scenario::PullH2) {
                    continue;
                }
                let began = Instant::now();
                let figure = measure(*scenario, peer, &client, &tokens, common.quick)
                    .await
                    .with_context(|| format!("{}: {}", peer.kind.name(), scenario.word()))?;
                row.add(peer.kind.name(), peer.kind.is_ours(), figure);
                say(&format!(
                    "round {}: {}: {}: {figure:.3} ({:.1} s)",
                    round + 1,
                    scenario.word(),
                    peer.kind.name(),
                    began.elapsed().as_secs_f64()
                ));
            }
        }
    }
    rows.push(resident(&peers)?);
    Ok(Report { title: format!("Cost beside nginx and HAProxy, median of {}", common.rounds), rows })
}

/// CPU seconds per GiB, or microseconds per request, of one proxy.
async fn measure(scenario: Scenario, peer: &Peer, client: &Client, tokens: &[String], quick: bool) -> Result<f64> {
    let less = if quick { 4 } else { 1 };
    let bytes = BYTES / less;
    let requests = REQUESTS / usize::try_from(less)?;
    let gib = |transfers: usize| transfers as f64 * bytes as f64 / f64::from(1 << 30);
    let bulk = async || h1::open(client, peer.address, TRANSFERS, tokens).await;
    let (used, units) = match scenario {
        Scenario::Pull => {
            let connections = bulk().await?;
            (spent(peer.pid, bulk::pull(connections, bytes)).await?.0, gib(TRANSFERS))
        }
        Scenario::Push | Scenario::Chunked => {
            let uploads = bulk::begin(bulk().await?).await?;
            let framing = if scenario == Scenario::Push { bulk::Framing::Length } else { bulk::Framing::Chunked };
            (spent(peer.pid, bulk::push(uploads, bytes, framing)).await?.0, gib(TRANSFERS))
        }
        Scenario::PullH2 => {
            let connections = h2::open(client, peer.address, TRANSFERS, tokens).await?;
            (spent(peer.pid, h2::pull_all(connections, bytes)).await?.0, gib(TRANSFERS))
        }
        Scenario::PushH2 => {
            let connections = h2::open(client, peer.address, TRANSFERS, tokens).await?;
            let uploads = h2::begin_all(connections).await?;
            (spent(peer.pid, h2::push_all(uploads, bytes)).await?.0, gib(TRANSFERS))
        }
        Scenario::SmallH1 => {
            let connections = h1::open(client, peer.address, CONNECTIONS, tokens).await?;
            let each = requests / CONNECTIONS;
            (spent(peer.pid, h1::small(connections, each)).await?.0, (each * CONNECTIONS) as f64 / 1e6)
        }
        Scenario::SmallH2 => {
            let connections = h2::open(client, peer.address, H2.0, tokens).await?;
            let each = requests / H2.0 / H2.1;
            (spent(peer.pid, h2::small(&connections, H2.1, each)).await?.0, (each * H2.0 * H2.1) as f64 / 1e6)
        }
    };
    Ok(used.as_secs_f64() / units)
}

/// What each keeps in memory after all that.
fn resident(peers: &[Peer]) -> Result<Row> {
    let mut row = Row::new("resident after it", "MiB", Vec::new());
    for peer in peers {
        let mib = memory(peer.pid)? as f64 / f64::from(1 << 20);
        row.add(peer.kind.name(), peer.kind.is_ours(), mib);
    }
    Ok(row)
}
