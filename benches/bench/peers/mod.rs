//! The proxies side by side: each is a process with a configuration of its own in front of the same origin.
//!
//! nginx and HAProxy are told what their manuals advise for large bodies: a worker per core, connections to the origin
//! kept, 32 KiB buffers, nothing spooled. All three end TLS with the same certificate and write one line per request into
//! a file.

mod haproxy;
mod nginx;
mod tidegate;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::keys::Keys;

/// How long a proxy may take to listen.
const START: Duration = Duration::from_secs(20);
/// How long one may take to end in good order.
const END: Duration = Duration::from_secs(10);

/// What there is to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A build of ours, by the name of its column.
    Tidegate(String, PathBuf),
    /// Passes bodies on as they come, both ways.
    Nginx,
    /// Buffers answers in memory, as it does when nothing is said; bodies of requests pass as they come.
    NginxBuffering,
    HAProxy,
}

impl Kind {
    /// The name of its column.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Tidegate(name, _) => name,
            Self::Nginx => "nginx",
            Self::NginxBuffering => "nginx (buffering)",
            Self::HAProxy => "haproxy",
        }
    }

    /// Whether it is a build of ours.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Tidegate(..))
    }
}

/// All of them, beginning with another one in every round: whatever else the machine does meets all of them alike.
pub(crate) fn in_turn<T>(all: &[T], round: usize) -> impl Iterator<Item = &T> {
    let first = round.checked_rem(all.len()).unwrap_or(0);
    all.iter().cycle().skip(first).take(all.len())
}

/// What all proxies of a run are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) origin: SocketAddr,
    /// The token endpoint's; nobody there unless the measurement is about it.
    pub(crate) authority: SocketAddr,
    pub(crate) keys: &'a Keys,
    /// Tidegate's `tokens.cache`; none: its default.
    pub(crate) token_cache: Option<&'a str>,
}

/// What one proxy is told.
#[derive(Debug)]
pub(crate) struct Orders<'a> {
    pub(crate) given: Given<'a>,
    pub(crate) address: SocketAddr,
    pub(crate) dir: &'a Path,
    pub(crate) cores: usize,
}

/// A running proxy; killed when dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    child: Child,
}

impl Peer {
    /// Starts it, with its files in a directory of its own, and waits until it listens.
    pub(crate) async fn start(kind: Kind, dir: &Path, given: Given<'_>) -> Result<Self> {
        let dir = dir.join(kind.name());
        std::fs::create_dir_all(&dir)?;
        let address = free_address()?;
        let cores = std::thread::available_parallelism()?.get();
        let orders = Orders { given, address, dir: &dir, cores };
        let (program, arguments) = match &kind {
            Kind::Tidegate(_, program) => (program.clone(), tidegate::arguments(&orders)?),
            Kind::Nginx => (daemon("nginx")?, nginx::arguments(&orders, false)?),
            Kind::NginxBuffering => (daemon("nginx")?, nginx::arguments(&orders, true)?),
            Kind::HAProxy => (daemon("haproxy")?, haproxy::arguments(&orders)?),
        };
        let log = dir.join("output.log");
        let out = std::fs::File::create(&log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(&program).args(arguments);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().context("setpriv (util-linux)")?;
        let mut peer = Self { pid: child.id(), kind, address, child };
        let end = Instant::now() + START;
        while TcpStream::connect(address).await.is_err() {
            if peer.child.try_wait()?.is_some() || Instant::now() > end {
                bail!("{} did not start:\n{}", program.display(), std::fs::read_to_string(&log)?);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SIGTERM, so that nginx's master takes its workers along, and what counts (`deploy/release.sh`) writes its counts.
        let _gone = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        let end = Instant::now() + END;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            pause();
        }
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing can be awaited where something is dropped")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// An address on loopback where nobody listens.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Daemons live in `sbin`, which is on no ordinary user's PATH.
fn daemon(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("{name} is missing: run `make parts`"))
}
