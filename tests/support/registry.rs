//! The registries: Debian's docker-registry 2.8 and distribution 3.1, each with token authentication, a filesystem below a
//! temporary directory and its access log on.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::{Daemon, command_in};

/// How often a port that is taken is tried again.
const PORT_TRIES: u32 = 20;

/// Which registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Flavor {
    /// Debian's `docker-registry`: knows tokens by libtrust key id and by `x5c`.
    Docker28,
    /// `registry` of distribution 3.1: knows no libtrust key id, unless a key set file spells it out.
    Distribution31,
}

impl Flavor {
    pub(crate) const ALL: [Self; 2] = [Self::Docker28, Self::Distribution31];

    /// The program, as it stands on PATH.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Docker28 => "docker-registry",
            Self::Distribution31 => "registry",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Docker28 => "2.8",
            Self::Distribution31 => "3.1",
        }
    }
}

/// What a registry believes.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pub(crate) realm: String,
    pub(crate) issuer: String,
    pub(crate) service: String,
    /// PEM certificates.
    pub(crate) bundle: PathBuf,
    /// A JSON Web Key Set that names the authority's key by its libtrust id; only distribution 3.x reads one.
    pub(crate) jwks: Option<PathBuf>,
}

/// A running registry; ends when dropped.
#[derive(Debug)]
pub(crate) struct Registry {
    daemon: Daemon,
}

impl Registry {
    /// Starts one on `listen`, with all its files under `dir`.
    pub(crate) async fn start(
        flavor: Flavor,
        dir: &Path,
        namespace: Option<&str>,
        listen: SocketAddr,
        trust: &Trust,
    ) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let config = dir.join("registry.yml");
        std::fs::write(&config, configuration(flavor, dir, listen, trust))?;
        let log = dir.join("registry.log");
        // Started again in the same place, it goes on with the same log.
        let before = said_ready(&std::fs::read_to_string(&log).unwrap_or_default());
        let mut tries = PORT_TRIES;
        loop {
            let mut command = command_in(namespace, flavor.program());
            // Distribution 3 would otherwise try, and log that it failed, to export traces to a collector here.
            command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
            let mut daemon = Daemon::spawn(flavor.program(), &mut command, &log)?;
            match daemon.wait_ready(Duration::from_secs(20), async |log| said_ready(log) > before).await {
                Ok(()) => return Ok(Self { daemon }),
                // A port that was free may since be the source of somebody's connection, which passes.
                Err(error) if tries > 0 && error.to_string().contains("address already in use") => tries -= 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ends it without a word to anybody.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.daemon.signal("KILL");
        self.daemon.ended(Duration::from_secs(5)).await?;
        Ok(())
    }

    /// Everything it wrote: its own lines and the access log.
    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }

    /// The addresses of all that ever asked it something.
    pub(crate) fn peers(&self) -> Result<Vec<Ipv4Addr>> {
        peers_of(&self.log())
    }
}

fn said_ready(log: &str) -> usize {
    log.matches("listening on").count()
}

/// The distinct addresses in an access log in the combined format (`ADDRESS - - [date] "request" …`); lines of any other
/// form are the program's own.
pub(crate) fn peers_of(log: &str) -> Result<Vec<Ipv4Addr>> {
    let mut peers = Vec::new();
    for line in log.lines().filter(|line| line.contains("\" ") && line.contains(" - ")) {
        let mut words = line.split(' ');
        let (Some(first), Some("-")) = (words.next(), words.next()) else { continue };
        peers.push(first.parse().with_context(|| format!("no address in access line {line}"))?);
    }
    peers.sort();
    peers.dedup();
    Ok(peers)
}

fn configuration(flavor: Flavor, dir: &Path, listen: SocketAddr, trust: &Trust) -> String {
    let Trust { realm, issuer, service, bundle, jwks } = trust;
    let keys = match (flavor, jwks) {
        (Flavor::Distribution31, Some(file)) => format!("\n    jwks: {}", file.display()),
        _ => String::new(),
    };
    format!(
        "version: 0.1
log:
  accesslog:
    disabled: false
  level: info
storage:
  filesystem:
    rootdirectory: {storage}
  delete:
    enabled: true
http:
  addr: {listen}
  secret: a-secret-of-the-test-registry
auth:
  token:
    realm: {realm}
    service: {service}
    issuer: {issuer}
    rootcertbundle: {bundle}{keys}
",
        storage = dir.join("storage").display(),
        bundle = bundle.display(),
    )
}
