//! Faults: real parts break in the middle of things, one way at a time, and Tidegate is looked at while and after.
//!
//! ```text
//!  street: clients, authority, scripted peers      gatehouse: Tidegate      yard: registries
//!        (namespaces of this run alone, joined by veth; gone with this process, however it ends)
//!
//! cargo test --test faults                    the quick ones
//! cargo test --test faults -- --full          every fault; --write FILE renders the table
//! cargo test --test faults -- 17 half-open    those of that number, or whose name contains that
//!                             --list: their names; --at-once N: so many side by side; --keep: leave the files
//! ```
//! A row says what was injected, what the client saw, what the registry holds, and whether descriptors, threads and memory
//! came back. What is wrong is found by assertions, and one wrong fault does not keep the others from running. Needs root
//! (namespaces, packet filter) and the parts that `tests/parts.sh` installs. A missing part is a failure.

#![expect(clippy::print_stdout, reason = "a test program without the harness reports for itself")]

mod authorities;
mod case;
mod clients;
mod crowds;
mod line;
mod lives;
mod measure;
mod names;
mod network;
mod registries;
mod replicas;
mod report;
mod scene;
mod script;
mod table;

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "some of it is for the other programs that stand on real parts")]
mod support;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use case::{Case, Ground, Row};
use support::image::Image;
use support::keys::Keys;
use support::process::{missing, search_path};
use support::run::{Files, Flags, become_root};
use support::yard::Yard;
use table::{FAULTS, Fault};

/// Says that this process already has a street of its own.
const ALONE: &str = "TIDEGATE_FAULTS_ALONE";
/// Programs that must be there.
const PROGRAMS: [&str; 15] = [
    "setpriv",
    "nsenter",
    "unshare",
    "prlimit",
    "ip",
    "tc",
    "ss",
    "iptables",
    "mount",
    "faketime",
    "curl",
    "haproxy",
    "crane",
    "docker-registry",
    "registry",
];

/// The faults to inject.
fn faults(flags: &Flags) -> Vec<&'static Fault> {
    let named = |fault: &Fault, filter: &String| *filter == fault.number.to_string() || fault.name.contains(filter);
    let wanted = |fault: &&Fault| {
        let listed = flags.filters.iter().any(|filter| named(fault, filter));
        listed || (flags.filters.is_empty() && (flags.full || fault.quick))
    };
    FAULTS.iter().filter(wanted).collect()
}

fn main() -> ExitCode {
    start().unwrap_or_else(|error| {
        println!("faults: {error:#}");
        ExitCode::FAILURE
    })
}

fn start() -> Result<ExitCode> {
    let flags = Flags::parse(std::env::args().skip(1), |_, _| Ok(false))?;
    let faults = faults(&flags);
    if flags.list {
        for fault in faults {
            println!("{:2} {}: test", fault.number, fault.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if faults.is_empty() {
        println!("faults: no fault has that name");
        return Ok(ExitCode::SUCCESS);
    }
    if std::env::var_os(ALONE).is_none() {
        become_root("namespaces and the packet filter")?;
        let missing = missing(PROGRAMS);
        ensure!(missing.is_empty(), "not installed: {}; tests/parts.sh installs them", missing.join(", "));
        // The street and every mount made here belong to this process and go with it. Changes of the packet filter touch
        // nobody else.
        let mut alone = Command::new("unshare");
        alone.args(["--net", "--mount", "--"]).arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
        alone.env(ALONE, "1").env("PATH", search_path());
        bail!("unshare: {}", alone.exec());
    }
    // One thread, to its end: children are tied to the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let files = Files::make(flags.keep)?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Whichever it is, what was set up is taken down by going out of scope.
        tokio::select! {
            done = run(&flags, faults, files.path()) => done,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("told to end"),
        }
    })
}

async fn run(flags: &Flags, faults: Vec<&'static Fault>, dir: &Path) -> Result<ExitCode> {
    let begun = Instant::now();
    println!("faults: {} of them, files in {}", faults.len(), dir.display());
    support::canaries::check()?;
    network::lo_up()?;
    let yard = Yard::lay_out()?;
    let keys = Keys::make(&dir.join("keys"), &[yard.gate_address().to_string()])?;
    let ground = Rc::new(Ground {
        dir: dir.to_owned(),
        tidegate: PathBuf::from(env!("CARGO_BIN_EXE_tidegate")),
        image: Image::make(&dir.join("image"), 1).await?,
        yard,
        keys,
        full: flags.full,
    });
    let (alone, together): (Vec<_>, Vec<_>) = faults.into_iter().partition(|fault| fault.alone);
    let mut rows = run_all(&ground, &together, flags.at_once.unwrap_or(6)).await?;
    rows.extend(run_all(&ground, &alone, 1).await?);
    rows.sort_by_key(|row| (row.fault.number, row.fault.name));
    if let Some(path) = &flags.write {
        let page = report::page(&rows, &report::versions().await?);
        std::fs::write(path, page).with_context(|| path.display().to_string())?;
    }
    let wrong: Vec<&Row> = rows.iter().filter(|row| !row.wrong.is_empty()).collect();
    for row in &wrong {
        for what in &row.wrong {
            println!("WRONG  {:2} {}: {what}", row.fault.number, row.fault.name);
        }
    }
    let (verdict, took) = (if wrong.is_empty() { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f64());
    println!("faults: {verdict} in {took:.0} s: {}", report::summary(&rows));
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs them, so many at a time, and tells what became of each as it ends.
async fn run_all(ground: &Rc<Ground>, faults: &[&'static Fault], at_once: usize) -> Result<Vec<Row>> {
    let mut waiting = faults.iter();
    let mut running = JoinSet::new();
    let mut rows = Vec::new();
    loop {
        while running.len() < at_once.max(1) {
            let Some(fault) = waiting.next() else { break };
            running.spawn_local(Case::run(Rc::clone(ground), fault));
        }
        let Some(row) = running.join_next().await else { return Ok(rows) };
        let row = row?;
        println!("{}", report::line(&row));
        rows.push(row);
    }
}
