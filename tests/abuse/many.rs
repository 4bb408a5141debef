//! More connections than there is room for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::Size;
use crate::client::{H1, H2, connect, connect_by, connector, until_the_end};
use crate::frames::get_with;
use crate::gate::{Gate, value};
use crate::support::h2::PREFACE;
use tidegate::server::descriptors;

/// As many idle connections as there have to be where descriptors are enough for them.
pub(crate) const IDLE: usize = 19_000;
/// How long they are held when all are open.
const HELD: Duration = Duration::from_secs(5);
/// Descriptors of this process that are not for them.
const OWN: u64 = 500;

/// Which room is short.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Many {
    /// One address's share.
    OneAddress,
    /// None: connections that open, ask and close, as fast as one client can.
    Storm,
    /// What the descriptors are enough for.
    Descriptors,
    /// The descriptors themselves, spent on connections to the origin by many streams of one client.
    NoneLeft,
    /// Any: all connections there may be, open, and nothing asked.
    Idle,
}

/// Until they are gone. How they ended.
pub(crate) async fn run(many: Many, gate: &Gate, size: Size) -> Result<String> {
    match many {
        Many::OneAddress => one_address(gate).await,
        Many::Storm => storm(gate, size).await,
        Many::Descriptors => descriptors(gate).await,
        Many::NoneLeft => none_left(gate).await,
        Many::Idle => idle(gate).await,
    }
}

async fn one_address(gate: &Gate) -> Result<String> {
    let address = gate.public;
    let mut connections = JoinSet::new();
    for _ in 0..100 {
        connections.spawn(async move {
            let stream = TcpStream::connect(address).await?;
            let began = Instant::now();
            until_the_end(stream).await?;
            anyhow::Ok(began.elapsed() < Duration::from_secs(1))
        });
    }
    let mut at_once = 0;
    while let Some(ended) = connections.join_next().await {
        at_once += usize::from(ended??);
    }
    Ok(format!("{at_once} of 100 closed at once"))
}

async fn storm(gate: &Gate, size: Size) -> Result<String> {
    let address = gate.public;
    let mut connections = JoinSet::new();
    let (mut done, began) = (0, Instant::now());
    for number in 0..size.storm {
        if number >= 64 {
            connections.join_next().await.context("one of many")???;
            done += 1;
        }
        connections.spawn(async move {
            let mut io = connect(address, H1).await?;
            io.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
            let answer = until_the_end(io).await?;
            ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
            Ok(())
        });
    }
    while let Some(ended) = connections.join_next().await {
        ended??;
        done += 1;
    }
    let rate = f64::from(u32::try_from(done)?) / began.elapsed().as_secs_f64();
    Ok(format!("{done} of {done} served, {rate:.0} a second"))
}

/// What is checked while there is no room: that somebody answers, and that nobody runs in circles. How many descriptors
/// were in use at most, and CPU seconds of one second.
async fn looked_at(gate: &Gate) -> Result<(usize, f64)> {
    let (cpu, began, mut most) = (gate.cpu()?, Instant::now(), 0);
    for _ in 0..10 {
        most = gate.descriptors()?.max(most);
        ensure!(gate.is_healthy().await, "/healthz does not answer, {most} descriptors are in use");
        sleep(Duration::from_millis(100)).await;
    }
    Ok((most, (gate.cpu()? - cpu) / began.elapsed().as_secs_f64()))
}

async fn descriptors(gate: &Gate) -> Result<String> {
    let mut connections = JoinSet::new();
    for _ in 0..300 {
        connections.spawn(until_the_end(TcpStream::connect(gate.public).await?));
    }
    let (most, busy) = looked_at(gate).await?;
    while let Some(ended) = connections.join_next().await {
        ended??;
    }
    served_again(gate).await?;
    Ok(format!("{most} of 256 descriptors used, {busy:.2} CPU seconds a second, /healthz answers"))
}

async fn none_left(gate: &Gate) -> Result<String> {
    // Two clients' streams want more connections to the origin than there are descriptors.
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut io = connect(gate.public, H2).await?;
        let streams: Vec<u8> = (0..90).flat_map(|number| get_with(number * 2 + 1, "/slow", &[], true)).collect();
        io.write_all(&[PREFACE, &streams].concat()).await?;
        clients.push(io);
    }
    sleep(Duration::from_millis(200)).await;
    let mut knocking = JoinSet::new();
    for _ in 0..10 {
        knocking.spawn(until_the_end(TcpStream::connect(gate.public).await?));
    }
    let (most, busy) = looked_at(gate).await?;
    let metrics = gate.metrics().await?;
    let hits = value(&metrics, "tidegate_limit_hits_total{limit=\"descriptors\"}");
    for io in &mut clients {
        ensure!(io.read(&mut [0; 1]).await? > 0, "a client that was there was cut off");
    }
    drop(clients);
    while let Some(ended) = knocking.join_next().await {
        ended??;
    }
    served_again(gate).await?;
    Ok(format!(
        "{most} of 100 descriptors used, {hits} pauses of the accept loop, {busy:.2} CPU seconds a second, /healthz answers"
    ))
}

/// All the connections there is room for but the quiet client's, and a few more that have to wait.
async fn idle(gate: &Gate) -> Result<String> {
    let own = usize::try_from(descriptors::raise().saturating_sub(OWN))?;
    let all = gate.most_descriptors()?;
    let room = descriptors::connections(all).min(IDLE);
    ensure!(room <= own, "this process may hold no more than {own} of {room} connections");
    let (room, connector, address) = (room - 1, connector(H1)?, gate.public);
    let (before, began) = (gate.resident()?, Instant::now());
    let (mut opening, mut held) = (JoinSet::new(), Vec::with_capacity(room));
    for number in 0..room {
        if number >= 64 {
            held.push(opening.join_next().await.context("one of many")???);
        }
        opening.spawn(connect_by(connector.clone(), "localhost", address));
    }
    while let Some(opened) = opening.join_next().await {
        held.push(opened??);
    }
    let (took, each) = (began.elapsed(), (gate.resident()? - before) * 1024 / i64::try_from(room)?);
    let mut knocking = Vec::new();
    for _ in 0..10 {
        knocking.push(TcpStream::connect(address).await?);
    }
    let held_since = Instant::now();
    while held_since.elapsed() < HELD {
        let open = value(&gate.metrics().await?, "tidegate_connections");
        ensure!(open == i64::try_from(room)? + 1, "{open} connections are open, not {room} and one");
        sleep(Duration::from_millis(500)).await;
    }
    drop((held, knocking));
    served_again(gate).await?;
    let took = took.as_secs_f64();
    Ok(format!("{room} held with {all} descriptors, {each} bytes of memory each; opened in {took:.1} s"))
}

/// Nobody had to help.
async fn served_again(gate: &Gate) -> Result<()> {
    let serving = async {
        let mut io = connect(gate.public, H1).await?;
        io.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let answer = until_the_end(io).await?;
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        Ok(())
    };
    timeout(Duration::from_secs(30), serving).await.context("nobody is served any more")?
}
