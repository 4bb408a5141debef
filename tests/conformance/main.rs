//! The conformance suite of the OCI distribution specification, at registries alone and at the same registries through
//! Tidegate: what it says of them must not change because Tidegate stands before them. And h2spec at Tidegate's listener.
//!
//! ```text
//! cargo test --test conformance                   the covering part: one registry, alone and over HTTP/2
//! cargo test --test conformance -- --full         every registry, profile and path; --write FILE renders the page
//! cargo test --test conformance -- 3.1-wide       the courses whose names contain that; `h2spec` is one too
//!                                 --at-once N: so many side by side; --keep: leave the files
//! ```
//! Needs root (namespaces) and the parts that `tests/parts.sh` installs. A missing part is a failure.

#![expect(clippy::print_stdout, reason = "a test program without the harness reports for itself")]

mod answers;
mod compare;
mod course;
mod frames;
mod page;
mod suite;
mod verdicts;

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "clients, relay and spooling hop are the matrix's")]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use tokio::task::LocalSet;
use tokio::time::Instant;

use course::{Course, Ground};
use support::keys::Keys;
use support::process::missing;
use support::registry::Flavor;
use support::run::{Files, Flags, become_root};
use support::yard::Yard;

/// The courses to run. One through Tidegate says nothing without those it is held against, so these come along.
fn courses(flags: &Flags) -> Vec<Course> {
    let all = Course::all();
    let named = |course: &Course| match (flags.filters.is_empty(), flags.full) {
        (true, full) => full || course.covers(),
        (false, _) => flags.filters.iter().any(|filter| course.name().contains(filter)),
    };
    let wanted: Vec<Course> = all.iter().copied().filter(|course| named(course)).collect();
    let measured = |course: &Course| wanted.iter().any(|one| course.is_reference_of(*one));
    all.into_iter().filter(|course| wanted.contains(course) || measured(course)).collect()
}

fn main() -> ExitCode {
    start().unwrap_or_else(|error| {
        println!("conformance: {error:#}");
        ExitCode::FAILURE
    })
}

fn start() -> Result<ExitCode> {
    let flags = Flags::parse(std::env::args().skip(1), |_, _| Ok(false))?;
    let courses = courses(&flags);
    if flags.list {
        println!("conformance: test");
        return Ok(ExitCode::SUCCESS);
    }
    let frames = flags.filters.is_empty() || flags.filters.iter().any(|filter| frames::PROGRAM.contains(filter));
    if courses.is_empty() && !frames {
        println!("conformance: no course has that name");
        return Ok(ExitCode::SUCCESS);
    }
    become_root("namespaces")?;
    let programs = ["setpriv", "nsenter", "ip", suite::PROGRAM, frames::PROGRAM];
    let missing = missing(programs.into_iter().chain(Flavor::ALL.map(Flavor::program)));
    ensure!(missing.is_empty(), "not installed: {}; tests/parts.sh installs them", missing.join(", "));
    // One thread, to its end: children are tied to the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before the tasks, so that it goes after them: a run that fails leaves tasks, and those have daemons that use it.
    let dir = Files::make(flags.keep)?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, run(&flags, &courses, frames, dir.path()))
}

async fn run(flags: &Flags, courses: &[Course], frames: bool, dir: &Path) -> Result<ExitCode> {
    let begun = Instant::now();
    println!("conformance: {} courses, files in {}", courses.len(), dir.display());
    compare::check().context("the comparison does not see what it is for")?;
    frames::check()?;
    let yard = Yard::lay_out()?;
    let ground = Rc::new(Ground {
        dir: dir.to_owned(),
        tidegate: PathBuf::from(env!("CARGO_BIN_EXE_tidegate")),
        keys: Keys::make(&dir.join("keys"), &[yard.gate_address().to_string()])?,
        yard,
    });
    let told = |outcome: &course::Outcome| println!("{}", page::line(outcome));
    let outcomes = course::run_all(&ground, courses, flags.at_once.unwrap_or(4), told).await?;
    let frames = if frames { Some(frames::judge(&ground).await.context(frames::PROGRAM)?) } else { None };
    if let Some(frames) = &frames {
        println!("{:22} {frames}", frames::PROGRAM);
    }
    let judged = compare::judge(&outcomes);
    if let Some(path) = &flags.write {
        let text = page::page(&outcomes, &judged, frames.as_ref(), &page::versions().await?);
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    for line in &judged.noise {
        println!("NOISE  {line}");
    }
    for line in &judged.wrong {
        println!("WRONG  {line}");
    }
    let verdict = if judged.wrong.is_empty() { "ok" } else { "FAILED" };
    println!("conformance: {verdict} in {:.0} s: {}", begun.elapsed().as_secs_f64(), page::summary(&outcomes, &judged));
    Ok(if judged.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
