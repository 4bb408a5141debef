//! The registry: a real one, with token authentication and its files below the run's directory.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::authority::{ISSUER, SERVICE};
use super::child::{Daemon, command};
use super::{keys, programs};

const START: Duration = Duration::from_secs(20);

/// A running registry; ends when dropped.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) address: SocketAddr,
    daemon: Daemon,
}

impl Registry {
    /// Starts `program` with its files below `dir`; `realm` is where it sends clients for tokens.
    ///
    /// # Cancel safety
    /// Dropping the future kills it.
    pub(super) async fn start(program: &programs::Registry, dir: &Path, realm: &str) -> anyhow::Result<Self> {
        let file = dir.join("registry.yml");
        std::fs::write(&file, configuration(dir, realm))?;
        let mut command = command(&program.path);
        command.arg("serve").arg(&file);
        // It takes its configuration from the environment as well; nothing of the user's is meant for this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_")) {
            command.env_remove(name);
        }
        // Distribution 3 exports traces, and logs that it cannot, unless it is told not to.
        command.env("OTEL_TRACES_EXPORTER", "none");
        let mut daemon = Daemon::start("the registry", &mut command, dir.join("registry.log"))?;
        let address = daemon.ready(START, async |log| listening(log)).await?;
        Ok(Self { address, daemon })
    }

    /// Why it refused the last upload it refused, in its own words.
    pub(super) fn last_refused_upload(&self) -> Option<String> {
        refused_upload(&self.daemon.log())
    }
}

/// The port is any free one: it says which.
fn listening(log: &str) -> Option<SocketAddr> {
    log.split_once("listening on ")?.1.split(['"', ' ', '\n']).next()?.parse().ok()
}

/// Both registries log the reason as a line of its own, in `key=value` words.
fn refused_upload(log: &str) -> Option<String> {
    let upload = |line: &&str| ["PATCH", "PUT"].iter().any(|method| line.contains(&format!("method={method} ")));
    let line = log.lines().filter(upload).rfind(|line| line.contains("error authorizing context"))?;
    let word = |key: &str| line.split_once(key)?.1.split(' ').next();
    let (_, message) = line.split_once("msg=\"")?;
    let (message, _) = message.split_once('"')?;
    let path = word("uri=")?.trim_matches('"').split('?').next()?;
    Some(format!("{} {path}: {message}", word("method=")?))
}

/// JSON is YAML, and quotes a path however it is spelled.
fn configuration(dir: &Path, realm: &str) -> String {
    serde_json::json!({
        "version": "0.1",
        "log": { "level": "info", "accesslog": { "disabled": false } },
        "storage": { "filesystem": { "rootdirectory": dir.join("storage") } },
        "http": { "addr": "127.0.0.1:0", "secret": "of no use to anybody else" },
        "auth": { "token": {
            "realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": dir.join(keys::BUNDLE),
        } },
    })
    .to_string()
}

#[cfg(test)]
mod tests;
