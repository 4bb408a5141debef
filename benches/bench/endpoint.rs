//! The token endpoint: what a token costs, and how often the authority is asked for it.
//!
//! ```text
//! load ──▶ tidegate, /jwt/auth ──▶ an authority that knows every user
//!     └──▶ nginx ──▶ origin: a small request, to compare with
//! ```
//! A cached token is one that the same credential asked for before. A fresh one has to be asked for: the authority's
//! answer is verified, kept, repaired and handed out, and its credential sealed for pushes that outlive it.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use crate::Common;
use crate::authority::{Authority, basic};
use crate::cpu::spent;
use crate::load::h1::{self, Connection};
use crate::load::{Client, every};
use crate::peers::{Kind, Peer, in_turn};
use crate::stage::{Stage, say};
use crate::table::{Against, Report, Row, Target};
use crate::tokens::{REPOSITORY, SERVICE};

const CONNECTIONS: usize = 32;
/// Requests of a round for small requests and cached tokens.
const REQUESTS: usize = 20_000;
/// Fresh tokens of a round.
const FRESH: usize = 3_200;
/// Who comes at once, with how few credentials, and how long the authority thinks meanwhile.
const HERD: (usize, usize, Duration) = (2_000, 50, Duration::from_secs(1));
/// How often it may be asked by them.
const HERD_MOST: f64 = 60.0;

/// Runs them all.
pub(crate) async fn run(common: &Common) -> Result<Report> {
    let stage = Stage::set(common)?;
    let client = stage.client()?;
    let less = if common.quick { 4 } else { 1 };
    let (requests, fresh) = (REQUESTS / less, FRESH / less);
    // The first are asked for again and again, the rest once each, by every build in every round anew.
    say("signing tokens");
    let tokens = stage.mint.tokens(CONNECTIONS + common.rounds * fresh)?;
    let authority = Authority::start(stage.authority, tokens.clone())?;
    let peers = stage.start_all(common, |kind| *kind != Kind::NginxBuffering).await?;
    let mut small = Row::new("small request, h1", "CPU µs", Vec::new());
    let mut cached = Row::new("cached token", "CPU µs", Vec::new());
    let mut asked = Row::new("fresh token, asked for and repaired", "CPU µs", Vec::new());
    for round in 0..common.rounds {
        for peer in in_turn(&peers, round) {
            let (name, ours) = (peer.kind.name(), peer.kind.is_ours());
            let connections = h1::open(&client, peer.address, CONNECTIONS, &tokens).await?;
            let each = requests / CONNECTIONS;
            let (used, mut connections) = spent(peer.pid, h1::small(connections, each)).await?;
            let figure = per(used, each * CONNECTIONS);
            small.add(name, ours, figure);
            say(&format!("round {}: small: {name}: {figure:.3}", round + 1));
            if !ours {
                continue;
            }
            if common.wants("cached") {
                h1::deal_credentials(&mut connections, (0..CONNECTIONS).map(basic).collect());
                let connections = ask(connections, 1).await?;
                let before = authority.asked();
                let (used, _) = spent(peer.pid, ask(connections, each)).await?;
                ensure!(authority.asked() == before, "cached tokens were asked for again");
                let figure = per(used, each * CONNECTIONS);
                cached.add(name, ours, figure);
                say(&format!("round {}: cached: {name}: {figure:.3}", round + 1));
            }
            if common.wants("fresh") {
                let first = CONNECTIONS + round * fresh;
                let mut connections = h1::open(&client, peer.address, CONNECTIONS, &tokens).await?;
                h1::deal_credentials(&mut connections, (first..first + fresh).map(basic).collect());
                let before = authority.asked();
                let (used, _) = spent(peer.pid, ask(connections, fresh / CONNECTIONS)).await?;
                let times = authority.asked() - before;
                ensure!(times == u64::try_from(fresh)?, "{fresh} fresh tokens were asked for {times} times");
                let figure = per(used, fresh);
                asked.add(name, ours, figure);
                say(&format!("round {}: fresh: {name}: {figure:.3}", round + 1));
            }
        }
    }
    if let Some(nginx) = small.column(Kind::Nginx.name()) {
        let target = |most| Target { against: Against::Other("nginx's small request", nginx), most };
        cached.targets.push(target(1.5));
        asked.targets.push(target(4.0));
    }
    let mut rows = vec![small, cached, asked];
    rows.retain(|row| !row.columns.is_empty());
    if common.wants("herd") {
        drop(peers);
        rows.push(herd(common, &stage, &client, &authority, &tokens).await?);
    }
    Ok(Report { title: format!("The token endpoint, median of {}", common.rounds), rows })
}

/// Microseconds each.
fn per(used: Duration, count: usize) -> f64 {
    used.as_secs_f64() * 1e6 / count as f64
}

/// Asks for `each` tokens on every connection, with its credentials in turn.
async fn ask(connections: Vec<Connection>, each: usize) -> Result<Vec<Connection>> {
    let target = format!("/jwt/auth?account=somebody&scope=repository%3A{REPOSITORY}%3Apull%2Cpush&service={SERVICE}");
    every(connections, async move |connection| {
        for _ in 0..each {
            let answer = connection.get(&target).await?;
            // With the name that OAuth2 has for it beside the one that Docker has: twice the token of some 900 bytes.
            ensure!(answer.status == 200 && answer.length > 1_500, "a token request: {answer:?}");
        }
        Ok(())
    })
    .await
}

/// How often the authority is asked when all come at once and nothing is cached.
async fn herd(
    common: &Common,
    stage: &Stage,
    client: &Client,
    authority: &Authority,
    tokens: &[String],
) -> Result<Row> {
    let (clients, credentials, thinks) = HERD;
    let targets = vec![Target { against: Against::Figure, most: HERD_MOST }];
    let what = format!("{clients} clients, {credentials} credentials, an authority that takes a second: it is asked");
    let mut row = Row::new(what, "times", targets);
    for kind in Stage::kinds(common)?.into_iter().filter(Kind::is_ours) {
        // One that knows nobody yet.
        let peer: Peer = stage.start(kind).await?;
        let mut connections = h1::open(client, peer.address, clients, tokens).await?;
        h1::deal_credentials(&mut connections, (0..credentials).map(basic).collect());
        authority.thinks(thinks);
        let (before, began) = (authority.asked(), Instant::now());
        let answered = ask(connections, 1).await;
        authority.thinks(Duration::ZERO);
        answered?;
        let times = authority.asked() - before;
        say(&format!("herd: {}: asked {times} times, {:.1} s", peer.kind.name(), began.elapsed().as_secs_f64()));
        row.add(peer.kind.name(), true, times as f64);
    }
    Ok(row)
}
