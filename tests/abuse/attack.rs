//! One attack: what it is, what has to end it, and what came of it.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tidegate::server::descriptors::needed;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::gate::{Gate, limits, value};
use crate::origin::Origin;
use crate::quiet::Quiet;
use crate::{Rank, Size, early, frames, heads, many, slow};

/// How long what is over at once is done again: of less, the slowest hundredth of the quiet client's requests would be the
/// slowest one.
pub(crate) const AT_LEAST: Duration = Duration::from_secs(2);
/// And how many at a time: of two workers the one that has the quiet client gets one of them as well.
const AT_A_TIME: usize = 2;
/// How long the quiet client is listened to before an attack, and before that not yet.
const BEFORE: Duration = Duration::from_secs(2);
const WARM: Duration = Duration::from_millis(100);
/// How long memory and descriptors have to come back.
const BACK: Duration = Duration::from_secs(30);
/// Descriptors that may be more than before: connections to the origin that are kept for the next request.
const KEPT_DESCRIPTORS: usize = 16;
/// Ports that it may not connect to the origin from for a while: there are 28,000.
const KEPT_PORTS: usize = 100;
/// KiB that may be resident more than before: what an allocator keeps for the next time.
const KEPT_MEMORY: i64 = 48 * 1024;
/// KiB that may be resident more than before while frames or heads come in.
const PEAK: i64 = 16 * 1024;
/// Requests of a flood that may reach the origin: what `limits.h2_streams` lets a connection have at a time.
const REACHED: usize = 100;
/// The same of one that takes them back only when they are under way: those that are, what each of them earns, and what
/// seven frames each, two earned, make of the 500 that `h2_frames` gives at once; with a second's worth of what time earns.
const REACHED_LATE: usize = 260;
/// What an attack may do to others: make them wait so many times as long, if that is so many milliseconds more. Of less,
/// clock and scheduler tell nothing.
const BEARABLE: (f64, f64) = (2.0, 1.0);

/// A way to be a nuisance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Each of these has to have counted.
    limits: &'static [&'static str],
    /// A line of `[limits]` for this one.
    pub(crate) setting: &'static str,
    /// The descriptors Tidegate has for this one.
    pub(crate) descriptors: Option<u32>,
    /// Every wait of Tidegate for this one.
    pub(crate) wait: Option<Duration>,
    /// It takes too much for the short run.
    pub(crate) only_full: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Slow(slow::Slow),
    Frames(frames::Flood),
    Heads(heads::Bomb),
    Many(many::Many),
    Early(early::Client),
}

/// How an attack ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// In the attacker's eyes.
    pub(crate) words: String,
    /// How often it was made: each of its limits has to have counted as often.
    pub(crate) times: i64,
}

impl Ended {
    fn once(words: String) -> Self {
        Self { words, times: 1 }
    }
}

/// Does what is over at once again and again, a few at a time, each with a number of its own. What came of each.
pub(crate) async fn again<T, F>(one: impl Fn(usize) -> F + Clone + Send + 'static) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send,
{
    let (began, mut lanes, mut all) = (Instant::now(), JoinSet::new(), Vec::new());
    for lane in 0..AT_A_TIME {
        let one = one.clone();
        lanes.spawn(async move {
            let mut done = Vec::new();
            while done.is_empty() || began.elapsed() < AT_LEAST {
                let number = done.len() * AT_A_TIME + lane;
                done.push(one(number).await.with_context(|| format!("number {number}"))?);
            }
            anyhow::Ok(done)
        });
    }
    while let Some(done) = lanes.join_next().await {
        all.extend(done??);
    }
    Ok(all)
}

impl Attack {
    /// All there are.
    pub(crate) fn all() -> Vec<Self> {
        use early::Client::{CurlH1, CurlH2, Python};
        use frames::Flood as F;
        use heads::Bomb::{Cookies, Count, Size as Bytes};
        use many::Many::{Descriptors, Idle, OneAddress, Storm};
        use slow::Slow as S;
        let attack = |name, limits, kind| Self {
            name,
            limits,
            setting: "",
            descriptors: None,
            wait: None,
            only_full: false,
            kind,
        };
        let rate = "min_rate = \"1KiB/s\"";
        vec![
            attack("stalled handshake", &["handshake"], Kind::Slow(S::Handshake)),
            attack("silence after the handshake", &["request_head"], Kind::Slow(S::Silence)),
            attack("slow head", &["request_head"], Kind::Slow(S::Head)),
            attack("slow body, none", &["idle"], Kind::Slow(S::NoBody)),
            Self { setting: rate, ..attack("slow body, a trickle", &["min_rate"], Kind::Slow(S::Trickle)) },
            attack("slow reader", &["idle"], Kind::Slow(S::Reader)),
            attack("slow reader, h2 window shut", &["idle"], Kind::Slow(S::ShutH2)),
            attack("idle h2, unused", &["request_head"], Kind::Slow(S::UnusedH2)),
            attack("idle h2, used once", &["keep_alive"], Kind::Slow(S::UsedH2)),
            attack("h2 rapid reset", &["h2_frames"], Kind::Frames(F::RapidReset)),
            attack("h2 rapid reset, late", &["h2_frames"], Kind::Frames(F::LateReset)),
            attack("h2 made you reset", &["h2_frames"], Kind::Frames(F::MadeYouReset)),
            attack("h2 CONTINUATION", &["h2_frames"], Kind::Frames(F::Continuation)),
            attack("h2 empty DATA", &["h2_frames"], Kind::Frames(F::EmptyData)),
            attack("h2 SETTINGS", &["h2_frames"], Kind::Frames(F::Settings)),
            attack("h2 PING", &["h2_frames"], Kind::Frames(F::Ping)),
            attack("h2 WINDOW_UPDATE", &["h2_frames"], Kind::Frames(F::WindowUpdate)),
            attack("h2 PRIORITY", &["h2_frames"], Kind::Frames(F::Priority)),
            attack("h2 HPACK bomb", &["h2_frames"], Kind::Frames(F::Hpack)),
            attack("h2 streams", &["h2_streams"], Kind::Frames(F::Streams)),
            attack("head of 1 MiB", &["header_bytes"], Kind::Heads(Bytes)),
            attack("head of 5,000 fields", &["headers"], Kind::Heads(Count)),
            attack("h2 cookie crumbs", &["headers"], Kind::Heads(Cookies)),
            Self {
                setting: "connections_per_address = 50",
                ..attack("connections from one address", &["connections_per_address"], Kind::Many(OneAddress))
            },
            attack("connection storm", &[], Kind::Many(Storm)),
            Self {
                descriptors: Some(256),
                ..attack("more connections than descriptors", &["connections"], Kind::Many(Descriptors))
            },
            Self {
                descriptors: Some(100),
                ..attack("no descriptors left", &["descriptors"], Kind::Many(many::Many::NoneLeft))
            },
            Self {
                setting: "connections = 19_000",
                descriptors: u32::try_from(needed(many::IDLE)).ok(),
                wait: Some(Duration::from_secs(300)),
                only_full: true,
                ..attack("all connections, idle", &["connections"], Kind::Many(Idle))
            },
            attack("early refusal, curl h1", &[], Kind::Early(CurlH1)),
            attack("early refusal, curl h2", &[], Kind::Early(CurlH2)),
            attack("early refusal, http.client", &[], Kind::Early(Python)),
        ]
    }

    /// From threads that give way to whoever has anything to do: an attacker has a machine of his own. How it ended.
    fn attack(&self, gate: &Gate, size: Size) -> Result<Ended> {
        let attacking = async {
            match self.kind {
                Kind::Slow(slow) => slow::run(slow, gate, size).await.map(Ended::once),
                Kind::Frames(flood) => frames::run(flood, gate).await,
                Kind::Heads(bomb) => heads::run(bomb, gate).await,
                Kind::Many(many) => many::run(many, gate, size).await.map(Ended::once),
                Kind::Early(client) => early::run(client, gate).await,
            }
        };
        std::thread::scope(|scope| {
            let attacker = scope.spawn(|| {
                Rank::Last.take()?;
                // Its threads inherit it.
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
                runtime.block_on(attacking)
            });
            attacker.join().map_err(|_| anyhow!("the attacker panicked"))?
        })
    }

    /// Attacks, and looks.
    pub(crate) async fn run(&self, gate: &Gate, origin: &Origin, size: Size) -> Result<Outcome> {
        let before = Quiet::start(gate.public, false);
        sleep(WARM).await;
        before.count();
        sleep(BEFORE).await;
        let quiet = before.p99().await?;
        let (counted, descriptors, resident) = (gate.metrics().await?, gate.descriptors()?, gate.resident()?);
        let cpu = gate.cpu()?;
        // Without descriptors there is no way to the origin either, and that is what it is told.
        let during = Quiet::start(gate.public, matches!(self.kind, Kind::Many(many::Many::NoneLeft)));
        sleep(WARM).await;
        origin.forget();
        gate.forget_peak()?;
        during.count();
        let began = Instant::now();
        let mut ended = tokio::task::block_in_place(|| self.attack(gate, size)).context("not ended")?;
        let took = began.elapsed();
        let cpu = gate.cpu()? - cpu;
        let under_attack = during.p99().await?;
        let peak = gate.peak()? - resident;
        let reached = origin.most_asked().await;
        if reached > 1 {
            let _ = write!(ended.words, "; {reached} requests at most of each reached the registry");
        }
        let ports = origin.ports_kept()?;
        let now = gate.metrics().await?;
        let hits = limits(&now)
            .into_iter()
            .map(|(name, hits)| {
                let line = format!("tidegate_limit_hits_total{{limit=\"{name}\"}}");
                (name, hits - value(&counted, &line))
            })
            .filter(|(_, hits)| *hits > 0)
            .collect();
        let end = Instant::now() + BACK;
        let back = loop {
            let (more, grown) = (gate.descriptors()?.saturating_sub(descriptors), gate.resident()? - resident);
            if (more <= KEPT_DESCRIPTORS && grown <= KEPT_MEMORY) || Instant::now() > end {
                break (more, grown);
            }
            sleep(Duration::from_millis(200)).await;
        };
        Ok(Outcome {
            attack: *self,
            ended,
            hits,
            took,
            cpu,
            reached,
            ports,
            peak,
            descriptors: back.0,
            grown: back.1,
            quiet,
            under_attack,
        })
    }
}

/// What came of an attack.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) attack: Attack,
    pub(crate) ended: Ended,
    /// The limits that counted.
    pub(crate) hits: Vec<(String, i64)>,
    pub(crate) took: Duration,
    /// Seconds of CPU that Tidegate spent, the quiet client's requests included.
    pub(crate) cpu: f64,
    /// The most requests of one flood that the origin saw.
    pub(crate) reached: usize,
    /// Ports to the origin that nobody can use for a minute.
    pub(crate) ports: usize,
    /// KiB resident more than before, at most.
    pub(crate) peak: i64,
    /// Descriptors more than before, once it was over.
    pub(crate) descriptors: usize,
    /// KiB resident more than before, once it was over.
    pub(crate) grown: i64,
    /// The quiet client's 99th percentile before, in milliseconds.
    pub(crate) quiet: f64,
    /// And during.
    pub(crate) under_attack: f64,
}

impl Outcome {
    /// What must not be; how long others waited is judged only where it was `timed` with care.
    pub(crate) fn wrong(&self, timed: bool) -> Vec<String> {
        let name = self.attack.name;
        let mut wrong = Vec::new();
        for limit in self.attack.limits {
            let times = self.ended.times;
            if !self.hits.iter().any(|(hit, hits)| hit == limit && *hits >= times) {
                wrong.push(format!("{name}: {limit} did not count {times} times; these did: {:?}", self.hits));
            }
        }
        if self.descriptors > KEPT_DESCRIPTORS {
            wrong.push(format!("{name}: {} descriptors did not come back", self.descriptors));
        }
        if self.grown > KEPT_MEMORY {
            wrong.push(format!("{name}: {} KiB did not come back", self.grown));
        }
        let is_late = matches!(self.attack.kind, Kind::Frames(frames::Flood::LateReset));
        if self.reached > if is_late { REACHED_LATE } else { REACHED } {
            wrong.push(format!("{name}: {} requests of a flood reached the origin", self.reached));
        }
        if self.ports > KEPT_PORTS {
            wrong.push(format!("{name}: {} ports to the origin are in TIME_WAIT", self.ports));
        }
        if matches!(self.attack.kind, Kind::Frames(_) | Kind::Heads(_)) && self.peak > PEAK {
            wrong.push(format!("{name}: it took {} KiB", self.peak));
        }
        let (times, more) = BEARABLE;
        if timed && self.under_attack > times * self.quiet && self.under_attack > self.quiet + more {
            wrong.push(format!("{name}: others waited {:.1} ms instead of {:.1}", self.under_attack, self.quiet));
        }
        wrong
    }
}
