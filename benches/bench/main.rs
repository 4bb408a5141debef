//! What the door costs, beside nginx and HAProxy on the same machine, in the same run, turn by turn.
//!
//! ```text
//!  load (TLS 1.3) ──▶ tidegate ─┐
//!        └──────────▶ nginx   ──┼──▶ origin: just enough of a registry, plain HTTP/1.1
//!        └──────────▶ haproxy ──┘
//! ```
//! The load and the origin live in this process; what counts is the CPU time and the memory of the proxy alone, read from
//! `/proc`. `make bench` builds and runs it; `docs/performance.md` says how to read what it prints.
//!
//! ```text
//! cargo bench --profile load --bench bench -- [proxies|memory|growth|relay|tokens|beside]
//!     --tidegate target/dist/tidegate   --rounds N   --only pull,push,…   --quick   --json FILE   --check   --without-peers
//! ```

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

mod authority;
mod beside;
mod cpu;
mod endpoint;
mod far;
mod growth;
mod line;
mod load;
mod memory;
mod origin;
mod peers;
mod proxies;
mod reader;
mod stage;
mod table;
mod tokens;

#[path = "../../tests/support/keys.rs"]
#[expect(dead_code, reason = "not every file of a run is needed by every program that makes one")]
mod keys;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::task::LocalSet;

/// Measures what Tidegate costs.
#[derive(Debug, Parser)]
struct Asked {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    common: Common,
}

/// What every measurement understands.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// The binary under test, PATH or NAME=PATH; several stand side by side
    #[arg(long, global = true, default_value = "target/dist/tidegate")]
    tidegate: Vec<String>,
    /// How often each is measured; the median counts
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
    /// Only these rows, by name
    #[arg(long, global = true, value_delimiter = ',')]
    only: Vec<String>,
    /// A quarter of the work: for a first look
    #[arg(long, global = true)]
    quick: bool,
    /// Where the figures go as JSON
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    /// Exit with 1 when a target is missed
    #[arg(long, global = true)]
    check: bool,
    /// Tidegate alone
    #[arg(long, global = true)]
    without_peers: bool,
    /// Tidegate's `tokens.cache`, as its configuration spells it; none: its default
    #[arg(long, global = true)]
    token_cache: Option<String>,
    /// Keep the configurations and logs of the run in this directory
    #[arg(long, global = true)]
    keep: Option<PathBuf>,
    /// What cargo passes to every bench
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

impl Common {
    /// Whether a row was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// CPU per GiB and per small request, beside nginx and HAProxy
    Proxies,
    /// Memory of idle connections, stalled uploads, and pushes to a slow registry
    Memory,
    /// Whether many connections or tokens make a request or a GiB dearer
    Growth,
    /// How long a transfer takes over a line of 100 ms, HTTP/2 beside HTTP/1.1
    Relay,
    /// What a token costs, and how often the authority is asked
    Tokens,
    /// How long a small request takes while large ones keep the proxy busy
    Beside,
}

fn main() -> Result<ExitCode> {
    let asked = Asked::parse();
    // One thread: the children ask the kernel to end with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = LocalSet::new().block_on(&runtime, async {
        match asked.what.unwrap_or(What::Proxies) {
            What::Proxies => proxies::run(&asked.common).await,
            What::Memory => memory::run(&asked.common).await,
            What::Growth => growth::run(&asked.common).await,
            What::Relay => far::run(&asked.common).await,
            What::Tokens => endpoint::run(&asked.common).await,
            What::Beside => beside::run(&asked.common).await,
        }
    })?;
    println!("{}", report.text());
    if let Some(path) = &asked.common.json {
        report.write(path)?;
    }
    Ok(if asked.common.check && report.missed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
