//! What a run looks like on paper.

use std::fmt::Write as _;
use std::path::Path;

use crate::Size;
use crate::attack::Outcome;

/// An attack as it goes by on the screen.
pub(crate) fn line(outcome: &Outcome) -> String {
    format!(
        "{:34} {:6.1} s  [{}] {}; {:.2} s CPU, {:+} KiB at most, {:+} after, {} fds more, p99 {:.1} -> {:.1} ms ({:.1}x)",
        outcome.attack.name,
        outcome.took.as_secs_f64(),
        hits(outcome),
        outcome.ended.words,
        outcome.cpu,
        outcome.peak,
        outcome.grown,
        outcome.descriptors,
        outcome.quiet,
        outcome.under_attack,
        outcome.under_attack / outcome.quiet,
    )
}

fn hits(outcome: &Outcome) -> String {
    let all: Vec<String> = outcome.hits.iter().map(|(name, hits)| format!("{name} {hits}")).collect();
    all.join(", ")
}

/// `docs/abuse.md`.
pub(crate) fn page(outcomes: &[Outcome], size: Size, program: &Path) -> String {
    let build = if program.components().any(|part| ["release", "dist"].iter().any(|name| part.as_os_str() == *name)) {
        "release"
    } else {
        "debug"
    };
    let mut page = String::from(INTRODUCTION);
    let _ = write!(
        page,
        "\nRun on {}: a {build} build, every wait set to {} s, {} connections an attack, {} in the storm. The \
         machine was doing other work as well: a load of {} when this was written.\n\n",
        today(),
        size.wait.as_secs(),
        size.connections,
        size.storm,
        load(),
    );
    page.push_str("| attack | limits that counted | how it ended | over after | Tidegate's CPU | memory at most | memory kept | p99 of the quiet client |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for outcome in outcomes {
        let hits = hits(outcome);
        let _ = writeln!(
            page,
            "| {} | {} | {} | {:.1} s | {:.2} s | {:.1} MiB | {:.1} MiB | {:.1} → {:.1} ms |",
            outcome.attack.name,
            if hits.is_empty() { "none needed" } else { &hits },
            outcome.ended.words,
            outcome.took.as_secs_f64(),
            outcome.cpu,
            mebibytes(outcome.peak),
            mebibytes(outcome.grown),
            outcome.quiet,
            outcome.under_attack,
        );
    }
    page
}

fn mebibytes(kibibytes: i64) -> f64 {
    f64::from(i32::try_from(kibibytes).unwrap_or(i32::MAX)) / 1024.0
}

const INTRODUCTION: &str = "# Abuse has a bound

Each row is an attack on a real Tidegate process: what ended it, as `tidegate_limit_hits_total{limit}` tells it, how soon,
and how another client fared meanwhile, which sent one small request after the other on a connection of its own. `make
abuse` runs all of it and writes this page; nothing in it is written by hand. The run fails when an attack is not ended, when
the limit did not count, or when descriptors or memory do not come back; and when the quiet client's p99 is both more than
twice what it was before the attack and more than a millisecond longer.

What is over at once is done again on new connections for two seconds, two at a time, and each of them has to end by the
limit. A flood has to end by a GOAWAY (ENHANCE_YOUR_CALM), after 1,000 frames at most that Tidegate took, and what time
earns; no more than 100 of its requests may reach the registry. The late rapid reset takes back what was let through as
any request is, a hundred at a time: 260 of those may. A flood, or a head, may take 16 MiB of memory at most. And no attack
may leave more than 100 ports to the registry in `TIME_WAIT`: there are 28,000, for all clients.

Attacker, Tidegate, registries and quiet client share one machine. As if each had one of his own, the attacker and the
registry that he asks get a core when nobody else wants it (`SCHED_IDLE`), and the quiet client and its own registry go
before Tidegate (`SCHED_FIFO`), so that what it waits for is Tidegate; the kernel's share of the attacker's work cannot be
told apart.

What each limit means, and its key: [operations.md](operations.md), sections 9 and 12.
";

/// The date, as the machine writes it.
fn today() -> String {
    let date = std::process::Command::new("date").arg("+%-d %B %Y").env("LC_ALL", "C").output();
    date.map(|date| String::from_utf8_lossy(&date.stdout).trim().to_owned()).unwrap_or_default()
}

/// How many were running or waiting to, on average of the last five minutes, the run's own included.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').nth(1).unwrap_or("unknown").to_owned()
}
