//! Abuse: a real Tidegate is attacked in every known way, and each attack has to end by a limit that has a name.
//!
//! ```text
//! cargo test --test abuse                 short waits, fewer connections
//! cargo test --test abuse -- --full       longer waits, more of everything; --write FILE renders the table
//! cargo test --test abuse -- ping slow    the attacks whose names contain one of these
//!                            --program P  another tidegate than the one cargo built: a release build
//! ```
//! For each attack: which limits counted (read from `/metrics`), when the last connection was gone, how much memory it took
//! at most, how far memory and descriptors came back, and how a well-behaved client fared meanwhile. Attacker,
//! attacked origin and well-behaved client would be other machines: here the first two get a core when nobody else wants it,
//! and the last goes before Tidegate, so that what it waits for is Tidegate. It is the wall clock all the same: only the full
//! run, which has the machine for itself, judges it. Needs root for that order.

#![expect(clippy::print_stdout, reason = "a test program without the harness reports for itself")]

mod attack;
mod client;
mod early;
mod frames;
mod gate;
mod heads;
mod many;
mod origin;
mod quiet;
mod report;
mod slow;

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "nearly all of it is for the programs that stand on real parts")]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use attack::Attack;
use gate::{Gate, Orders};
use origin::Origin;
use support::run::{Flags, become_root};

/// The attacks that were asked for.
fn attacks(flags: &Flags) -> Vec<Attack> {
    let named = |name: &str| flags.filters.is_empty() || flags.filters.iter().any(|filter| name.contains(filter));
    let attacks = Attack::all().into_iter().filter(|attack| flags.full || !attack.only_full);
    attacks.filter(|attack| named(attack.name)).collect()
}

/// When a thread gets a core (sched(7)). What would run on another machine must not take the cores here, and who has a
/// machine of his own is not kept waiting. Priorities of nice(2) would not do: a kernel that is built for servers lets whoever
/// computes go on until its next tick, which is 4 ms off at 250 Hz.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rank {
    /// Attackers, and the registry they ask: when nobody else wants it.
    Last,
    /// Tidegate: at once, before them.
    Middle,
    /// The quiet client and its registry: at once, before Tidegate.
    First,
}

impl Rank {
    /// What chrt(1) is told of it.
    pub(crate) fn arguments(self) -> [&'static str; 2] {
        match self {
            Self::Last => ["--idle", "0"],
            Self::Middle => ["--fifo", "1"],
            Self::First => ["--fifo", "2"],
        }
    }

    /// Gives it to this thread, and to those that it will start.
    pub(crate) fn take(self) -> Result<()> {
        let thread = std::fs::read_link("/proc/thread-self")?;
        let thread = thread.file_name().context("/proc/thread-self names no thread")?;
        let [policy, priority] = self.arguments();
        let done = Command::new("chrt").args([policy, "--pid", priority]).arg(thread).output().context("chrt")?;
        ensure!(done.status.success(), "chrt: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }
}

/// How much of everything a run has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Every wait of Tidegate.
    pub(crate) wait: Duration,
    /// Connections of an attack.
    pub(crate) connections: usize,
    /// Connections of a storm.
    pub(crate) storm: usize,
}

const QUICK: Size = Size { wait: Duration::from_secs(2), connections: 20, storm: 300 };
const FULL: Size = Size { wait: Duration::from_secs(5), connections: 200, storm: 10_000 };

fn main() -> ExitCode {
    start().unwrap_or_else(|error| {
        println!("abuse: {error:#}");
        ExitCode::FAILURE
    })
}

fn start() -> Result<ExitCode> {
    let mut program = PathBuf::from(env!("CARGO_BIN_EXE_tidegate"));
    let flags = Flags::parse(std::env::args().skip(1), |flag, rest| {
        if flag == "--program" {
            program = rest.next().context("--program FILE")?.into();
        }
        Ok(flag == "--program")
    })?;
    let attacks = attacks(&flags);
    if flags.list {
        println!("abuse: test");
        return Ok(ExitCode::SUCCESS);
    }
    if attacks.is_empty() {
        println!("abuse: no attack has that name");
        return Ok(ExitCode::SUCCESS);
    }
    become_root("real-time priorities")?;
    for program in ["chrt", "curl", "openssl", "python3", "sh"] {
        let found = Command::new(program).arg("--help").output().is_ok();
        ensure!(found, "not installed: {program}");
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(run(&flags, &program, attacks))
}

async fn run(flags: &Flags, program: &Path, attacks: Vec<Attack>) -> Result<ExitCode> {
    let size = if flags.full { FULL } else { QUICK };
    let dir = tempfile::Builder::new().prefix("tidegate-abuse-").tempdir()?;
    let (origin, quiet) = (Origin::start(Rank::Last).await?, Origin::start(Rank::First).await?);
    let (mut outcomes, mut wrong) = (Vec::new(), Vec::new());
    for attack in attacks {
        let orders = Orders {
            origin: origin.address,
            quiet: quiet.address,
            wait: attack.wait.unwrap_or(size.wait),
            setting: attack.setting,
            descriptors: attack.descriptors,
        };
        let gate = Gate::start(program, &dir.path().join(attack.name.replace(' ', "-")), &orders).await?;
        let outcome = attack.run(&gate, &origin, size).await;
        match outcome {
            Ok(outcome) => {
                println!("{}", report::line(&outcome));
                outcomes.push(outcome);
            }
            Err(error) => {
                println!("{}: {error:#}\n{}", attack.name, gate.last_words());
                wrong.push(format!("{}: {error:#}", attack.name));
            }
        }
        gate.stop().await?;
    }
    if let Some(path) = &flags.write {
        std::fs::write(path, report::page(&outcomes, size, program)).with_context(|| path.display().to_string())?;
    }
    wrong.extend(outcomes.iter().flat_map(|outcome| outcome.wrong(flags.full)));
    for line in &wrong {
        println!("WRONG  {line}");
    }
    println!("abuse: {}: {} attacks", if wrong.is_empty() { "ok" } else { "FAILED" }, outcomes.len());
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
