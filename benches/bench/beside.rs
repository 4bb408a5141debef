//! How long a small request takes while large ones keep the proxy busy.
//!
//! ```text
//! transfers, a thread of the lowest priority ──▶ proxy ──▶ origin
//! four quiet connections, one request each ────▶ proxy, which answers on its own: 401
//! ```
//! The answer needs no origin, and whoever transfers gives way to whoever does anything else: what is left is how the
//! proxy shares its cores. It is the wall clock that is read, so only columns of one run are to be compared.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::Common;
use crate::load::{Client, bulk, every, h1};
use crate::peers::in_turn;
use crate::stage::{Stage, say};
use crate::table::{Report, Row};

/// Of a transfer; when it is over, another begins.
const BYTES: u64 = 256 << 20;
/// What `--only` calls the loads, and how many transfers they are.
const LOADS: [(&str, usize); 3] = [("none", 0), ("four", 4), ("sixteen", 16)];
/// Enough that every worker of a proxy has one of them.
const QUIET: usize = 4;
/// How often each asks in a whole run.
const REQUESTS: usize = 600;
/// Between two requests of a connection: they are no load themselves.
const PAUSE: Duration = Duration::from_millis(1);
/// From the first byte of the transfers to the first request.
const LEAD: Duration = Duration::from_millis(500);

/// Runs them all.
pub(crate) async fn run(common: &Common) -> Result<Report> {
    let stage = Stage::set(common)?;
    let client = stage.client()?;
    let tokens = stage.mint.tokens(1)?;
    let peers = stage.start_all(common, |_| true).await?;
    let each = if common.quick { REQUESTS / 4 } else { REQUESTS };
    let mut rows = Vec::new();
    for (word, transfers) in LOADS.into_iter().filter(|(word, _)| common.wants(word)) {
        let row = |share: &str| Row::new(format!("beside {transfers} pulls, {share}"), "ms", Vec::new());
        let (mut half, mut most) = (row("median"), row("99 of 100"));
        for round in 0..common.rounds {
            for peer in in_turn(&peers, round) {
                let (name, ours) = (peer.kind.name(), peer.kind.is_ours());
                let load = Load::start(transfers, &client, peer.address, &tokens)?;
                sleep(LEAD).await;
                let mut took = ask(&client, peer.address, each).await.with_context(|| format!("{name}: {word}"))?;
                load.end()?;
                took.sort_unstable();
                let share =
                    |of: usize| took.get(took.len() * of / 100).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3);
                half.add(name, ours, share(50));
                most.add(name, ours, share(99));
                say(&format!("round {}: {word}: {name}: {:.2}, {:.2}", round + 1, share(50), share(99)));
            }
        }
        rows.extend([half, most]);
    }
    Ok(Report { title: format!("A small request beside transfers, median of {}", common.rounds), rows })
}

/// How long each request took, of all quiet connections.
async fn ask(client: &Client, address: SocketAddr, each: usize) -> Result<Vec<Duration>> {
    let mut quiet = Vec::new();
    for _ in 0..QUIET {
        quiet.push((h1::Connection::open(client, address, "").await?, Vec::with_capacity(each)));
    }
    let asked = every(quiet, async move |(connection, took)| {
        for _ in 0..each {
            sleep(PAUSE).await;
            let began = Instant::now();
            connection.send(b"GET /v2/ HTTP/1.1\r\nHost: registry.example.com\r\n\r\n").await?;
            let answer = connection.answer().await?;
            took.push(began.elapsed());
            ensure!(answer.status == 401, "a request without a credential: {answer:?}");
        }
        Ok(())
    })
    .await?;
    Ok(asked.into_iter().flat_map(|(_, took)| took).collect())
}

/// Transfers that go on until they are told to end.
struct Load {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl Load {
    fn start(transfers: usize, client: &Client, address: SocketAddr, tokens: &[String]) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (client, tokens) = (client.clone(), tokens.to_vec());
        let run = move || {
            // Of this thread alone (nice(2), "C library/kernel differences").
            rustix::process::nice(19)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let transferring = async {
                if transfers == 0 {
                    return std::future::pending().await;
                }
                loop {
                    bulk::pull(h1::open(&client, address, transfers, &tokens).await?, BYTES).await?;
                }
            };
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    ended = transferring => ended,
                    _ = stopped => Ok(()),
                }
            })
        };
        Ok(Self { stop, thread: std::thread::Builder::new().name("load".into()).spawn(run)? })
    }

    /// Ends them, and tells of what went wrong meanwhile.
    fn end(self) -> Result<()> {
        let _ended_before = self.stop.send(());
        self.thread.join().map_err(|_| anyhow!("the load panicked"))?
    }
}
