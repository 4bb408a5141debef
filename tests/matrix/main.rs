//! The matrix: eight real clients push through Tidegate into real registries while their tokens die half-way.
//!
//! ```text
//! cargo test --test matrix                   the covering part, quick recipe
//! cargo test --test matrix -- --full         every cell, slow recipe; --write FILE renders the table
//! cargo test --test matrix -- 3.1-front      the combinations whose names contain that
//!                             --without      those without Tidegate only; --client NAME: only that one (may be repeated);
//!                                            --at-once N: so many combinations side by side; --keep: leave the files
//! ```
//! Needs root (namespaces, the docker engine) and the parts that `tests/parts.sh` installs. A missing part is a failure.

#![expect(clippy::print_stdout, reason = "a test program without the harness reports for itself")]

mod cells;
mod double;
mod proof;
mod report;
mod stage;
mod verdict;
mod words;

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "some of it is for the other programs that stand on real parts")]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use tokio::task::LocalSet;
use tokio::time::Instant;

use cells::{CLIENTS, Combination, Recipe};
use stage::Stage;
use support::canaries;
use support::clients::{Bench, Client};
use support::keys::Keys;
use support::process::missing;
use support::registry::Flavor;
use support::run::{Files, Flags, become_root};
use support::yard::Yard;

/// What was asked for on the command line.
#[derive(Debug)]
struct Asked {
    flags: Flags,
    without: bool,
    clients: Vec<String>,
}

impl Asked {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut without, mut clients) = (false, Vec::new());
        let flags = Flags::parse(arguments, |flag, rest| {
            match flag {
                "--without" => without = true,
                "--client" => clients.push(rest.next().context("--client NAME")?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self { flags, without, clients })
    }

    fn clients(&self) -> Vec<Client> {
        let named = |name: &str| self.clients.is_empty() || self.clients.iter().any(|one| one == name);
        CLIENTS.into_iter().filter(|client| named(client.name())).collect()
    }

    fn combinations(&self) -> Vec<Combination> {
        let all = if self.flags.full || !self.flags.filters.is_empty() {
            Combination::all()
        } else {
            Combination::covering()
        };
        let named =
            |name: &str| self.flags.filters.is_empty() || self.flags.filters.iter().any(|filter| name.contains(filter));
        all.into_iter().filter(|one| named(&one.name()) && (!self.without || one.renew.is_none())).collect()
    }
}

fn main() -> ExitCode {
    start().unwrap_or_else(|error| {
        println!("matrix: {error:#}");
        ExitCode::FAILURE
    })
}

fn start() -> Result<ExitCode> {
    let asked = Asked::parse(std::env::args().skip(1))?;
    let combinations = asked.combinations();
    if asked.flags.list {
        println!("matrix: test");
        return Ok(ExitCode::SUCCESS);
    }
    if combinations.is_empty() {
        println!("matrix: no combination has that name");
        return Ok(ExitCode::SUCCESS);
    }
    become_root("namespaces and the docker engine")?;
    let programs = ["setpriv", "nsenter", "ip", "gzip", "tar", "dockerd", "containerd", "nginx"];
    let programs =
        programs.into_iter().chain(CLIENTS.map(|client| client.name())).chain(Flavor::ALL.map(Flavor::program));
    let missing = missing(programs);
    ensure!(missing.is_empty(), "not installed: {}; tests/parts.sh installs them", missing.join(", "));
    // One thread, to its end: children are tied to the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before the tasks, so that it goes after them: a run that fails leaves tasks, and those have daemons that use it.
    let dir = Files::make(asked.flags.keep)?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, run(&asked, combinations, dir.path()))
}

async fn run(asked: &Asked, combinations: Vec<Combination>, dir: &Path) -> Result<ExitCode> {
    let begun = Instant::now();
    let recipe = if asked.flags.full { Recipe::SLOW } else { Recipe::QUICK };
    println!("matrix: {} cells, files in {}", combinations.len() * asked.clients().len(), dir.display());
    let keys = Keys::make(&dir.join("keys"), &[])?;
    double::check(&keys).await.context("the double of the authority is not like GitLab")?;
    canaries::check()?;
    let stage = Rc::new(Stage {
        dir: dir.to_owned(),
        tidegate: PathBuf::from(env!("CARGO_BIN_EXE_tidegate")),
        yard: Yard::lay_out()?,
        keys,
        bench: Bench::set_up(&dir.join("b"), recipe.mib).await?,
        recipe,
        clients: asked.clients(),
    });
    println!("matrix: parts ready after {:.0} s", begun.elapsed().as_secs_f64());
    let at_once = asked.flags.at_once.unwrap_or(if asked.flags.full { 6 } else { 8 });
    let told = |outcome: &stage::Outcome| println!("{}", report::lines(outcome));
    let outcomes = stage::run_all(&stage, &combinations, at_once, told).await?;
    let versions = match &asked.flags.write {
        Some(_) => report::versions().await?,
        None => Vec::new(),
    };
    let stage = Rc::into_inner(stage).context("every combination has ended")?;
    stage.bench.tear_down().await?;
    if let Some(path) = &asked.flags.write {
        std::fs::write(path, report::page(&outcomes, recipe, &versions)).with_context(|| path.display().to_string())?;
    }
    let wrong = verdict::judge(&outcomes);
    for line in &wrong {
        println!("WRONG  {line}");
    }
    println!(
        "matrix: {} in {:.0} s: {}",
        if wrong.is_empty() { "ok" } else { "FAILED" },
        begun.elapsed().as_secs_f64(),
        report::summary(&outcomes)
    );
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
