//! Tidegate as an operator runs it: this program, with a configuration file, and what it says of itself afterwards.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use super::authority::{ISSUER, SERVICE};
use super::child::{Daemon, command};
use super::keys;
use super::serving::{Ear, get};
use crate::policy::Renew;
use crate::telemetry::labels::Label as _;
use crate::telemetry::log::ACCESS;

const START: Duration = Duration::from_secs(20);
/// The configuration file's name.
pub(super) const CONFIGURATION: &str = "tidegate.toml";
/// The log's.
pub(super) const LOG: &str = "tidegate.log";

/// What it is told.
#[derive(Debug)]
pub(super) struct Orders<'a> {
    pub(super) dir: &'a Path,
    pub(super) authority: SocketAddr,
    pub(super) registry: SocketAddr,
    /// The token endpoint as clients reach it.
    pub(super) realm: &'a str,
    pub(super) renew: Renew,
}

/// A running Tidegate; ends when dropped.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) address: SocketAddr,
    admin: SocketAddr,
    daemon: Daemon,
}

/// What is read of an access line.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct AccessLine {
    target: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) rescued: bool,
    pub(super) renew: Option<String>,
}

impl Door {
    /// Starts it and waits until it calls itself ready.
    ///
    /// # Cancel safety
    /// Dropping the future kills it.
    pub(super) async fn start(orders: &Orders<'_>) -> anyhow::Result<Self> {
        let (address, admin) = (free_port().await?, free_port().await?);
        let file = orders.dir.join(CONFIGURATION);
        std::fs::write(&file, configuration(orders, address, admin))?;
        let mut command = command(&this_program()?);
        command.arg("serve").arg("--config").arg(&file);
        let mut daemon = Daemon::start("tidegate", &mut command, orders.dir.join(LOG))?;
        daemon.ready(START, async |_| get(admin, "/readyz").await.ok()).await?;
        Ok(Self { address, admin, daemon })
    }

    /// Its access lines, in the order in which requests ended.
    pub(super) fn access_lines(&self) -> Vec<AccessLine> {
        let lines = self.daemon.log();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<AccessLine>(line).ok());
        lines.filter(|line| line.target == ACCESS).collect()
    }

    /// Its metrics.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn metrics(&self) -> anyhow::Result<Metrics> {
        Ok(Metrics(get(self.admin, "/metrics").await?))
    }
}

/// Metrics in the text format of OpenMetrics.
#[derive(Debug)]
pub(super) struct Metrics(String);

impl Metrics {
    /// The sum of a counter over all label sets of which `label` is part; an empty one is part of all.
    pub(super) fn counter(&self, name: &str, label: &str) -> u64 {
        let samples = self.0.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.contains(label));
        let own = samples.filter(|rest| rest.starts_with(['{', ' ']));
        own.filter_map(|rest| rest.split_ascii_whitespace().last()?.parse::<u64>().ok()).sum()
    }
}

/// A port that nobody listens on now. Somebody may take it before Tidegate does: then that does not start, and says so.
async fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(Ear::open().await?.address)
}

fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program does not know where it is")
}

/// All paths in it are relative to it.
fn configuration(orders: &Orders<'_>, address: SocketAddr, admin: SocketAddr) -> String {
    let Orders { authority, registry, realm, renew, .. } = orders;
    let mut text = format!(
        r#"[listeners.public]
address = "{address}"

[listeners.admin]
address = "{admin}"

[authorities.gitlab]
kind = "gitlab"
url = "http://{authority}"
issuer = "{ISSUER}"
service = "{SERVICE}"
trusted = ["{trusted}"]

[sites."*"]
authority = "gitlab"
realm = "{realm}"
renew = "{renew}"
[sites."*".registry]
origins = ["http://{registry}"]
"#,
        trusted = keys::AUTHORITY,
        renew = renew.as_str(),
    );
    if *renew == Renew::Resign {
        let (key, certificate) = (keys::SIGNING_KEY, keys::SIGNING);
        // Writing to a String cannot fail.
        let _infallible = write!(text, "\n[signing]\nkey = \"{key}\"\ncertificate = \"{certificate}\"\n");
    }
    text
}

#[cfg(test)]
mod tests;
