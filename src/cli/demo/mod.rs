//! `tidegate demo`: the same push twice, straight and through Tidegate, with everything real but the slowness.
//!
//! ```text
//!                 link: slow, and spools bodies as nginx does          child processes
//! skopeo ──▶ link ─────────────────────────────────────────────▶ registry   1. the token is dead on arrival
//! skopeo ──▶ link ──▶ tidegate serve ──────────────────────────▶ registry   2. so it is here, and the push passes
//!    └───── authority: its tokens live for seconds ◀────────────────┘
//! ```
//!
//! The registry, the client and Tidegate are programs an operator would run; the authority and the link are played in
//! this process, because they have to misbehave on cue. It must never leave anything behind: all files stand in one
//! directory that is removed, all children end with the run, docker's engine gives back what it was given, and nothing
//! in the user's home is written.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::Exit;
use crate::base::units::{ByteSize, Ttl};
use crate::policy::Renew;

mod authority;
mod child;
mod client;
mod door;
mod image;
mod keys;
mod link;
mod meter;
mod passage;
mod play;
mod programs;
mod registry;
mod scratch;
mod serving;
mod story;
mod summary;

use client::Client;
use programs::Kind;
use scratch::Scratch;
use story::Story;

/// The shortest life clients and registries agree on: regctl, for one, distrusts dates that look past already.
const LIFE_LEAST: Duration = Duration::from_secs(8);
/// Clients take any token to live a minute at least, whatever they are told.
const LIFE_MOST: Duration = Duration::from_secs(60);
/// How much longer than the token the push has to last, for the registry's clock to have no doubt.
const MARGIN: Duration = Duration::from_secs(4);

/// What can be chosen.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The registry to start: distribution's `registry` or Debian's `docker-registry` [default: the first one found]
    #[arg(long, value_name = "PATH")]
    registry: Option<PathBuf>,
    /// Who pushes [default: the first one found]
    #[arg(long, value_enum)]
    client: Option<Kind>,
    /// How large the pushed layer is; a bare number is MiB
    #[arg(long, value_name = "SIZE", default_value = "24MiB", value_parser = size)]
    size: ByteSize,
    /// How much the link lets through in a second
    #[arg(long, value_name = "SIZE/s", default_value = "1MiB/s", value_parser = rate)]
    rate: ByteSize,
    /// How long the registry takes a token, 8s to 60s; a bare number is seconds
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = life)]
    token_life: Ttl,
    /// How Tidegate comes by a token that the registry takes
    #[arg(long, value_enum, default_value = "resign")]
    renew: Way,
    /// Keep the directory with all configurations and logs, and say where it is
    #[arg(long)]
    keep: bool,
}

/// `--renew`. Without any, a demonstration would have nothing to show.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Way {
    /// Sign a token of its own, with a key the registry trusts
    Resign,
    /// Ask the authority again, with the client's credential
    Exchange,
}

/// What is going to be shown.
#[derive(Debug)]
struct Plan {
    registry: programs::Registry,
    client: Client,
    size: ByteSize,
    rate: ByteSize,
    life: Duration,
    renew: Renew,
}

/// Shows it.
///
/// # Errors
/// What kept it from being shown.
pub(super) fn run(arguments: &DemoArgs) -> anyhow::Result<Exit> {
    // One thread: nearly all of it is waiting.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(Box::pin(show(arguments)))
}

async fn show(arguments: &DemoArgs) -> anyhow::Result<Exit> {
    let mut interrupted = Signals::new().context("signals cannot be waited for")?;
    let plan = plan(arguments).await?;
    let scratch = Scratch::new().context("no temporary directory")?;
    let mut story = Story::new(std::io::stdout());
    let told = tokio::select! {
        told = Box::pin(play::play(&plan, scratch.path(), &mut story)) => told,
        signal = interrupted.next() => Err(anyhow::anyhow!("ended by {signal}")),
    };
    // The play is over and its children with it, however it ended; what they left is cleared away in any case.
    plan.client.forget().await;
    let cleared = if arguments.keep {
        story.line(&format!("Kept: {}", scratch.keep().display())).map_err(Into::into)
    } else {
        scratch.remove().await.context("the temporary directory could not be removed")
    };
    let exit = told?;
    cleared?;
    Ok(exit)
}

async fn plan(arguments: &DemoArgs) -> anyhow::Result<Plan> {
    let life = arguments.token_life.0;
    ensure!(
        (LIFE_LEAST..=LIFE_MOST).contains(&life),
        "--token-life is {}: write {} to {}",
        arguments.token_life,
        Ttl(LIFE_LEAST),
        Ttl(LIFE_MOST)
    );
    let (size, rate) = (arguments.size, arguments.rate);
    if rate.0 == 0 || size.0 / rate.0 < (life + MARGIN).as_secs() {
        bail!(
            "{size} at {rate}/s does not outlast a token of {}: nothing would fail. The push must take {} at least",
            arguments.token_life,
            Ttl(life + MARGIN)
        );
    }
    let registry = programs::registry(arguments.registry.as_deref()).await?;
    let client = Client::new(programs::client(arguments.client).await?).await?;
    let renew = match arguments.renew {
        Way::Resign => Renew::Resign,
        Way::Exchange => Renew::Exchange,
    };
    Ok(Plan { registry, client, size, rate, life, renew })
}

/// The signals that end a run before its time.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

fn size(text: &str) -> Result<ByteSize, String> {
    with_unit(text, "MiB")
}

fn rate(text: &str) -> Result<ByteSize, String> {
    with_unit(text.strip_suffix("/s").unwrap_or(text), "MiB")
}

fn life(text: &str) -> Result<Ttl, String> {
    with_unit(text, "s")
}

/// A bare number is in the unit that is meant here.
fn with_unit<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str, unit: &str) -> Result<T, String> {
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = if bare { format!("{text}{unit}") } else { text.to_owned() };
    whole.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests;
